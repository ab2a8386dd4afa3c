# shellcheck shell=bash
# Running the machines of a plan, and telling what came of it. Sourced by ci/numa.sh; see plan.sh for the files.

# run_machines PLAN COUNT: boots every machine of the plan, COUNT at a time, the largest first.
run_machines() {
  local machine number=0 running=0
  while read -r machine; do
    number=$((number + 1))
    make_payload "$1" "$machine" "$1/out/$number"
    [ $running -lt "$2" ] || { wait -n || true; running=$((running - 1)); }
    run_machine "$machine" "$1/out/$number" &
    running=$((running + 1))
  done < <(cut -f1 "$1/runs" | sort | uniq -c | sort -k1,1nr -k2 | awk '{ print $2 }')
  wait
}

# make_payload PLAN MACHINE OUT: the programs and jobs of one machine, numbered as their lines in `runs`.
make_payload() {
  local machine name mode seconds file quoted arguments line=0 program
  mkdir -p "$3/payload"
  echo "$2" >"$3/machine"
  while IFS=$TAB read -r machine name mode seconds file quoted; do
    line=$((line + 1))
    [ "$machine" = "$2" ] || continue
    program=$(basename "$file")
    add_program "$3/payload" "$file" "$program"
    # The arguments are quoted already.
    eval "arguments=($quoted)"
    add_job "$3/payload" $line "$seconds" "${MODES[$mode]}" "$(topology_of "$machine")" "$program" "${arguments[@]}"
  done <"$1/runs"
  for file in "${WITH[@]}"; do add_program "$3/payload" "$file" "$(basename "$file")"; done
}

topology_of() {
  local rest=${1#*/}
  echo "${rest%%:*}"
}

# run_machine MACHINE OUT
run_machine() {
  local arch=${1%%/*} topology kernel glibc start=$SECONDS status=0
  IFS=: read -r topology kernel glibc <<<"${1#*/}"
  "$CI_DIR/rig/machine.sh" "$arch" "$topology" "$kernel" "$glibc" "$2/payload" "$2" || status=$?
  echo $((SECONDS - start)) >"$2/seconds"
  rm -rf "$2/payload"
  say "$1: $((SECONDS - start)) s$([ $status = 0 ] || echo ", status $status")"
}

# verdict LOG STATUS: one word on a run, and how many tests it passed. A run of no test proves nothing and fails.
verdict() {
  local passed
  passed=$(awk '/^test result:/ { seen = 1; sum += $4 } END { print seen ? sum + 0 : "-" }' "$1" 2>/dev/null || echo -)
  case $2 in
    0) if [ "$passed" = 0 ]; then echo 'EMPTY 0'; else echo "ok $passed"; fi ;;
    137) echo "TIMEOUT $passed" ;;
    *) echo "FAILED($2) $passed" ;;
  esac
}

# report PLAN: the table, what failed, and the line that counts. Keeps the logs in RIG_DIR/log.
report() {
  local log=$RIG_DIR/log machine name mode line=0 dir status took word tests passed=0 failed=0
  rm -rf "$log"
  mkdir -p "$log"
  declare -A place=()
  for dir in "$1"/out/*; do place[$(cat "$dir/machine")]=$dir; done
  {
    printf 'machine\tprogram\tmode\tverdict\ttests\tseconds\n'
    while IFS=$TAB read -r machine name mode _; do
      line=$((line + 1)) dir=${place[$machine]}
      status=none took=-
      [ ! -e "$dir/$line.status" ] || read -r status took <"$dir/$line.status"
      read -r word tests <<<"$(verdict "$dir/$line.log" "$status")"
      [ -e "$dir/$line.log" ] && cp "$dir/$line.log" "$log/$line-${machine//[\/:]/-}-${name//\//-}-$mode.log"
      cp "$dir/kernel.log" "$log/kernel-${machine//[\/:]/-}.log" 2>/dev/null || true
      printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$machine" "$name" "$mode" "$word" "$tests" "$took"
    done <"$1/runs"
  } >"$log/verdicts"
  passed=$(grep -c "${TAB}ok${TAB}" "$log/verdicts" || true)
  failed=$((line - passed))
  show_failures "$log"
  column -t -s "$TAB" "$log/verdicts"
  printf '\n%s passed, %s failed\n' "$passed" "$failed"
  [ "$failed" = 0 ]
}

# show_failures LOG: the ends of the logs of runs that failed.
show_failures() {
  local line=0 machine verdict file
  while IFS=$TAB read -r machine _ _ verdict _; do
    if [ $line -gt 0 ] && [ "$verdict" != ok ]; then
      for file in "$1/$line"-*.log; do
        [ -e "$file" ] || continue
        printf '\n--- %s: %s ---\n' "$verdict" "$file"
        tail -n 40 "$file"
      done
      [ "$verdict" != 'FAILED(died)' ] || tail -n 40 "$1/kernel-${machine//[\/:]/-}.log"
    fi
    line=$((line + 1))
  done <"$1/verdicts"
}
