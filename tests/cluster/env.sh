# SPDX-License-Identifier: Apache-2.0
#
# Names every script here shares. Source it: . "$(dirname "$0")/env.sh"
# shellcheck shell=bash disable=SC2034
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${SLUICE_CLUSTER_CACHE:-$HOME/.cache/sluice-cluster} # binaries, image tars
state=/var/lib/sluice-cluster                              # all a running cluster writes
run=/run/sluice-cluster                                    # containerd's sockets and mounts
bin=$cache/bin
images=$cache/images
export KUBECONFIG=$state/admin.kubeconfig

node_ip=10.97.0.1             # on a bridge made by `up`: never the VM's own network
lb_first=10.97.0.100          # range of LoadBalancer addresses
lb_last=10.97.0.250
bridge=sluice0
pod_cidr=10.244.0.0/24
service_cidr=10.96.0.0/16
dns_ip=10.96.0.10
# The second family of everything; IPv4 is what a Service gets that does not ask.
node_ip6=fd00:97::1
pod_cidr6=fd00:244::/64
service_cidr6=fd00:96::/112

ctr() { command ctr --address "$run/containerd.sock" --namespace k8s.io "$@"; }

# cannot WHY - what this machine lacks, in one line; the caller's test counts as skipped
cannot() {
	echo "no cluster here: $*"
	exit 77
}
