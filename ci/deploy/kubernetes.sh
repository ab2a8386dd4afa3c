#!/usr/bin/env bash
# The manifests: YAML, Kubernetes' schemas, and what schemas don't know.
. "$(dirname "$0")/common.sh"
need yamllint=yamllint python3=python3 || skip "no yamllint"
yamllint --strict -d '{extends: default, rules: {line-length: {max: 120}, document-start: disable}}' deploy/kubernetes

# From here on in a virtual environment: the schemas come with a package of PyPI.
{
    python3 -m venv "$WORK/venv"
    "$WORK/venv/bin/pip" --quiet --disable-pip-version-check install kubernetes-validate pyyaml
} >"$WORK/log" 2>&1 || skip "no kubernetes-validate from PyPI; yamllint has passed. $(tail -n 1 "$WORK/log")"
PATH=$WORK/venv/bin:$PATH
kubernetes-validate --strict --no-warn deploy/kubernetes/deployment.yaml
sed 's/hugepages-2Mi: 512Mi/hugepages-2Mi: [512]/' deploy/kubernetes/deployment.yaml >"$WORK/bad.yaml"
if kubernetes-validate --strict --quiet "$WORK/bad.yaml" >/dev/null 2>&1; then fail "the validator takes anything"; fi
less "kubelet.yaml by a schema: Kubernetes publishes none for KubeletConfiguration; its numbers are checked"

python <<'PYTHON'
import json, yaml

def mebibytes(text):
    units = {"Mi": 1, "Gi": 1024}
    return int(text[:-2]) * units[text[-2:]]

kubelet = yaml.safe_load(open("deploy/kubernetes/kubelet.yaml"))
assert (kubelet["apiVersion"], kubelet["kind"]) == ("kubelet.config.k8s.io/v1beta1", "KubeletConfiguration")
wanted = sum(mebibytes(text) for text in (kubelet["systemReserved"]["memory"], kubelet["kubeReserved"]["memory"],
                                          kubelet["evictionHard"]["memory.available"]))
found = sum(mebibytes(node["limits"]["memory"]) for node in kubelet["reservedMemory"])
assert found == wanted, f"kubelet refuses reservedMemory of {found} Mi: it must be {wanted} Mi"

pod = yaml.safe_load(open("deploy/kubernetes/deployment.yaml"))["spec"]["template"]["spec"]
for container in pod["containers"] + pod["initContainers"]:
    resources = container["resources"]
    assert resources["requests"] == resources["limits"], "not Guaranteed"
    assert resources["limits"]["cpu"].isdigit(), "no whole CPUs"
variables = {entry["name"]: entry["value"] for entry in pod["containers"][0]["env"]}
memory = mebibytes(pod["containers"][0]["resources"]["limits"]["memory"])
assert int(variables["NUMASLAB_LIMIT_SOFT"][:-1]) < memory
assert pod["securityContext"]["seccompProfile"] == {"type": "Localhost", "localhostProfile": "profiles/numaslab.json"}
PYTHON
echo "manifests: well"
