"""Reads a disassembly (objdump -d -M intel) on stdin; arguments are FUNCTION=BOUND.

Prints how many instructions each function executes on a hit: on the longest path from its entry to a
return that passes the committing store of the critical section (a 16-bit store), calls nothing and
jumps out of nothing. Exits with 1 if a bound is passed or there is no such path.
"""

import re
import sys


def functions(lines):
    """Maps each function's name to its instructions: [(address, mnemonic, operands)]."""
    found, name = {}, None
    for line in lines:
        if head := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            name = head[1]
            found[name] = []
        elif (code := re.match(r"\s+([0-9a-f]+):\s+(\S+)\s*([^#]*)", line)) and name:
            found[name].append((int(code[1], 16), code[2], code[3].strip()))
    return found


def hit(code):
    """The longest hit path, as a list of instructions; None if there is none."""
    index = {address: at for at, (address, _, _) in enumerate(code)}

    def walk(at, path, committed):
        while at < len(code):
            address, mnemonic, operands = code[at]
            if address in {step[0] for step in path} or mnemonic in ("call", "ud2", "int3"):
                return None
            path = path + [code[at]]
            committed |= mnemonic == "mov" and operands.startswith("WORD PTR [")
            if mnemonic == "ret":
                return path if committed else None
            if mnemonic.startswith("j"):
                target = index.get(int(operands.split()[0], 16)) if re.match(r"[0-9a-f]+ <", operands) else None
                taken = walk(target, path, committed) if target is not None else None
                fallen = None if mnemonic == "jmp" else walk(at + 1, path, committed)
                return max([p for p in (taken, fallen) if p], key=len, default=None)
            at += 1
        return None

    return walk(0, [], False)


def main():
    code, failed = functions(sys.stdin.read().splitlines()), False
    for name, bound in (argument.split("=") for argument in sys.argv[1:]):
        path = hit(code.get(name, []))
        if path is None:
            print(f"{name}: no hit path found")
            failed = True
            continue
        locks = sum("lock" in mnemonic for _, mnemonic, _ in path)
        verdict = "ok" if len(path) <= int(bound) and not locks else "TOO MANY"
        print(f"{name}: {len(path)} instructions with the return, {locks} lock prefixes (bound {bound}): {verdict}")
        failed |= verdict != "ok"
    sys.exit(failed)


main()
