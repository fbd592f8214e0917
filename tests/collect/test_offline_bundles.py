"""Offline bundles: outputs under any name, archives of the EKS log collector, and what hostile or broken files do."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from headroom.addresses.problems import ProblemsError
from headroom.collect import bundle, logs
from headroom.collect.bundle import read_bundle
from headroom.diagnosis.classifier import diagnose
from headroom.diagnosis.verdict import Verdict
from headroom.facts.document import dump
from headroom.facts.snapshot import Origin, Snapshot
from headroom.facts.values import Reason, Unknown, is_known, items, known
from tests.collect.conftest import daemon_set, pod_object

Object = dict[str, Any]
Files = Mapping[str, bytes]

REFUSED = (
    '{"level":"debug","ts":"2026-03-03T20:27:17Z","caller":"ipamd/ipamd.go","msg":"Error trying to allocate ENI: '
    "operation error EC2: CreateNetworkInterface, api error InsufficientFreeAddressesInSubnet: The specified subnet "
    'does not have enough free addresses to satisfy the request."}'
)
NODE = "ip-10-1-0-9.ec2.internal"
INSTANCE = "i-0123456789abcdef0"
SUBNET = "subnet-0123456789abcdef0"


def kubectl(kind: str, *objects: Object) -> bytes:
    """What `kubectl get … -o json` writes."""
    listed = [{"apiVersion": "v1", "kind": kind, **each} for each in objects]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": listed, "metadata": {}}, indent=1).encode()


def node() -> Object:
    return {
        "metadata": {
            "name": NODE,
            "labels": {"topology.kubernetes.io/zone": "us-east-1a", "node.kubernetes.io/instance-type": "m5.large"},
            "creationTimestamp": "2026-03-03T20:00:00Z",
        },
        "spec": {"providerID": f"aws:///us-east-1a/{INSTANCE}"},
        "status": {
            "capacity": {"pods": "29"},
            "allocatable": {"pods": "29"},
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "10.1.0.9"}],
        },
    }


def event(pod: str) -> Object:
    return {
        "metadata": {"name": f"{pod}.1", "namespace": "shop"},
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": pod},
        "reason": "FailedCreatePodSandBox",
        "message": 'plugin type="aws-cni" failed (add): add cmd: failed to assign an IP address to container',
        "type": "Warning",
        "count": 4,
        "source": {"component": "kubelet", "host": NODE},
        "firstTimestamp": "2026-03-03T20:27:00Z",
        "lastTimestamp": "2026-03-03T20:30:00Z",
    }


def subnets(free: int = 0) -> bytes:
    """What `aws ec2 describe-subnets` writes."""
    return json.dumps(
        {
            "Subnets": [
                {
                    "SubnetId": SUBNET,
                    "VpcId": "vpc-1",
                    "AvailabilityZone": "us-east-1a",
                    "CidrBlock": "10.1.0.0/24",
                    "AvailableIpAddressCount": free,
                    "Tags": [{"Key": "Name", "Value": "nodes-a"}],
                }
            ]
        },
        indent=4,
    ).encode()


def interfaces() -> bytes:
    """What `aws ec2 describe-network-interfaces` writes: the node's one interface, its slots half filled."""
    return json.dumps(
        {
            "NetworkInterfaces": [
                {
                    "NetworkInterfaceId": "eni-0123456789abcdef0",
                    "SubnetId": SUBNET,
                    "VpcId": "vpc-1",
                    "AvailabilityZone": "us-east-1a",
                    "Status": "in-use",
                    "InterfaceType": "interface",
                    "Description": "",
                    "RequesterManaged": False,
                    "Attachment": {
                        "InstanceId": INSTANCE,
                        "DeviceIndex": 0,
                        "NetworkCardIndex": 0,
                        "Status": "attached",
                    },
                    "PrivateIpAddresses": [
                        {"PrivateIpAddress": f"10.1.0.{9 + number}", "Primary": number == 0} for number in range(2)
                    ],
                    "Groups": [],
                    "TagSet": [],
                }
            ]
        }
    ).encode()


def aws_node() -> Object:
    return pod_object(
        "aws-node-1",
        NODE,
        ip="10.1.0.9",
        namespace="kube-system",
        labels={"k8s-app": "aws-node"},
        container="aws-node",
        host_network=True,
    )


def cluster_files(free: int = 0) -> dict[str, bytes]:
    """A cluster with one full node and a pod that waits, under names that say nothing."""
    return {
        "a.txt": kubectl("Node", node()),
        "b": kubectl("Pod", pod_object("web-1", NODE, ip="10.1.0.10"), pod_object("web-2", NODE), aws_node()),
        "c/d.out": kubectl("Event", event("web-2")),
        "c/e.json": subnets(free),
        "c/f": interfaces(),
        "g.json": kubectl("DaemonSet", daemon_set("aws-node", {"WARM_ENI_TARGET": "1"}, desired=1)),
    }


def folder(tmp_path: Path, files: Files) -> Path:
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path


def archive(path: Path, files: Files) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def unpacked(tmp_path: Path, files: Files) -> bytes:
    """The same archive before it was compressed."""
    return gzip.decompress(archive(tmp_path / "whole.tar.gz", files).read_bytes())


def outcomes(snapshot: Snapshot) -> dict[str, str]:
    return {source.name: source.outcome for source in snapshot.sources}


# A folder of outputs.


def test_outputs_are_recognised_by_what_they_hold_whatever_they_are_called(tmp_path: Path) -> None:
    snapshot = read_bundle(folder(tmp_path, cluster_files()))
    kubernetes, aws = known(snapshot.kubernetes), known(snapshot.aws)
    assert kubernetes is not None
    assert aws is not None
    assert snapshot.cloud == "aws"
    assert [each.name for each in items(kubernetes.nodes)] == [NODE]
    assert [pod.name for pod in items(kubernetes.pods)] == ["web-1", "web-2", "aws-node-1"]
    assert [pod.name for pod in items(kubernetes.cni_pods)] == ["aws-node-1"]
    assert items(kubernetes.events)[0].reason == "FailedCreatePodSandBox"
    assert [subnet.available_addresses for subnet in items(aws.subnets)] == [0]
    assert items(aws.interfaces)[0].instance_id == INSTANCE
    # What no file holds was not asked.
    assert not is_known(kubernetes.services)
    assert not is_known(aws.addon)


def test_a_folder_of_outputs_is_diagnosed_like_a_cluster(tmp_path: Path) -> None:
    found = diagnose(read_bundle(folder(tmp_path, cluster_files())))
    assert [cause.name for cause in found.causes] == ["subnet_exhaustion"]
    assert found.causes[0].scope.nodes == (NODE,)
    assert found.causes[0].scope.subnets == (SUBNET,)


def test_an_archive_of_the_outputs_is_the_same_as_the_folder(tmp_path: Path) -> None:
    files = cluster_files()
    packed = read_bundle(archive(tmp_path / "outputs.tar.gz", files))
    zipped = tmp_path / "outputs.zip"
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    plain = read_bundle(folder(tmp_path / "plain", files))
    assert packed.kubernetes == plain.kubernetes == read_bundle(zipped).kubernetes
    assert packed.aws == plain.aws


def test_yaml_outputs_are_read_too(tmp_path: Path) -> None:
    as_yaml = yaml.safe_dump_all(
        [json.loads(kubectl("Node", node())), json.loads(kubectl("Pod", pod_object("a", NODE)))]
    )
    kubernetes = known(read_bundle(folder(tmp_path, {"all.yaml": as_yaml.encode()})).kubernetes)
    assert kubernetes is not None
    assert len(items(kubernetes.nodes)) == len(items(kubernetes.pods)) == 1


def test_several_documents_in_a_row_are_read(tmp_path: Path) -> None:
    both = kubectl("Node", node()) + b"\n" + kubectl("Pod", pod_object("a", NODE))
    kubernetes = known(read_bundle(folder(tmp_path, {"watch": both})).kubernetes)
    assert kubernetes is not None
    assert len(items(kubernetes.nodes)) == len(items(kubernetes.pods)) == 1


def test_secrets_are_never_taken_in(tmp_path: Path) -> None:
    secret = {"metadata": {"name": "db", "namespace": "shop"}, "data": {"password": "aHVudGVyMg=="}}
    files = {"s.json": kubectl("Secret", secret), "p.json": kubectl("Pod", pod_object("a", NODE))}
    text = dump(read_bundle(folder(tmp_path, files)))
    assert "hunter2" not in text
    assert "aHVudGVyMg" not in text
    assert "DB_PASSWORD" not in text


def test_only_the_clusters_own_vpc_is_taken(tmp_path: Path) -> None:
    described = json.loads(subnets(9))
    described["Subnets"].append({**described["Subnets"][0], "SubnetId": "subnet-of-others", "VpcId": "vpc-2"})
    files = {**cluster_files(), "c/e.json": json.dumps(described).encode()}
    aws = known(read_bundle(folder(tmp_path, files)).aws)
    assert aws is not None
    assert [subnet.subnet_id for subnet in items(aws.subnets)] == [SUBNET]


def test_a_refused_call_of_cloudtrail_and_a_failed_scaling_activity_are_lines(tmp_path: Path) -> None:
    trail = {
        "Records": [
            {
                "eventName": "CreateNetworkInterface",
                "errorCode": "Client.RequestLimitExceeded",
                "userAgent": "amazon-vpc-cni-k8s",
            },
            {"eventName": "RunInstances"},
        ]
    }
    activities = {
        "Activities": [
            {
                "StatusCode": "Failed",
                "Description": "Launching",
                "StatusMessage": "There are not enough free addresses in subnet 'subnet-1'",
            },
            {"StatusCode": "Successful"},
        ]
    }
    files = {"t.json": json.dumps(trail).encode(), "a.json": json.dumps(activities).encode()}
    lines = items(read_bundle(folder(tmp_path, files)).lines)
    assert {line.origin for line in lines} == {Origin.ASG, Origin.OTHER}
    assert any("RequestLimitExceeded" in line.text for line in lines)
    assert len(lines) == 2


# Our own files.


def test_a_snapshot_is_a_bundle(
    tmp_path: Path,
) -> None:
    snapshot = read_bundle(folder(tmp_path / "outputs", cluster_files()))
    file = tmp_path / "facts.json"
    file.write_text(dump(snapshot), encoding="utf-8")
    again = read_bundle(file)
    assert again.kubernetes == snapshot.kubernetes
    assert again.aws == snapshot.aws


def test_a_case_file_may_lie_beside_logs(tmp_path: Path) -> None:
    case = {
        "lines": [{"origin": "pod_event", "text": "failed to assign an IP address to container"}],
        "known": {"cloud": "aws", "subnetFreeAddresses": 0},
    }
    snapshot = read_bundle(folder(tmp_path, {"case.json": json.dumps(case).encode(), "ipamd.log": REFUSED.encode()}))
    stated = known(snapshot.stated)
    assert stated is not None
    assert stated.subnet_free_addresses == 0
    assert len(items(snapshot.lines)) == 2
    assert [cause.name for cause in diagnose(snapshot).causes] == ["subnet_exhaustion"]


def test_faults_of_a_case_file_in_a_bundle_are_told(tmp_path: Path) -> None:
    with pytest.raises(ProblemsError, match="syslog"):
        read_bundle(folder(tmp_path, {"case.json": b'{"lines": [{"origin": "syslog", "text": "x"}]}'}))


# The log collector's archive.


def collected() -> dict[str, bytes]:
    """An archive as the EKS log collector lays it out."""
    routine = (
        b'{"level":"debug","ts":"2026-03-03T20:20:00Z","caller":"ipamd/ipamd.go","msg":"Reconciling ENI/IP pool"}\n'
    )
    plugin = (
        b'{"level":"error","caller":"routed-eni-cni-plugin/cni.go","msg":"Failed to assign an IP address to pod"}\n'
    )
    metrics = {"eni_max": 3, "eni_allocated": 2, "total_ip_addresses": 18, "assigned_ip_addresses": 18}
    return {
        "system/instance-id.txt": INSTANCE.encode(),
        "system/uname.txt": f"Linux {NODE} 6.1.0 x86_64 GNU/Linux".encode(),
        "var_log/aws-routed-eni/ipamd.log": routine * 200 + REFUSED.encode() + b"\n",
        "var_log/aws-routed-eni/plugin.log": plugin,
        "var_log/aws-routed-eni/ipamd-2026-03-02.log.gz": gzip.compress(routine * 50),
        "ipamd/ipamd-env-settings.json": json.dumps({"WARM_ENI_TARGET": "2", "AWS_SECRET": "hunter2"}).encode(),
        "ipamd/metrics.txt": "".join(f"awscni_{name} {value}\n" for name, value in metrics.items()).encode(),
        "kubelet/kubelet.log": b"Mar 03 20:27:01 x kubelet: E0303 failed to assign an IP address to container\n" * 5,
        "networking/iptables.txt": b"InsufficientFreeAddressesInSubnet in a place that is not read\n",
    }


def test_an_archive_of_the_log_collector_tells_of_its_node(tmp_path: Path) -> None:
    snapshot = read_bundle(archive(tmp_path / f"eks_{INSTANCE}.tar.gz", collected()))
    (pool,) = items(snapshot.pools)
    assert (pool.node, pool.interfaces, pool.maximum_interfaces, pool.assigned_addresses) == (NODE, 2, 3, 18)
    stated = known(snapshot.stated)
    assert stated is not None
    assert known(stated.environment) == {"WARM_ENI_TARGET": "2"}
    lines = items(snapshot.lines)
    assert {line.origin for line in lines} == {Origin.IPAMD_LOG, Origin.KUBELET_LOG} | {
        line.origin for line in lines if line.origin is Origin.PLUGIN_LOG
    }
    refusals = [line for line in lines if "InsufficientFreeAddressesInSubnet" in line.text]
    assert [(line.node, line.file) for line in refusals] == [(NODE, "var_log/aws-routed-eni/ipamd.log")]
    assert [cause.name for cause in diagnose(snapshot).causes] == ["subnet_exhaustion"]


def test_a_single_log_is_a_bundle(tmp_path: Path) -> None:
    file = tmp_path / "some.log"
    file.write_text(f"{REFUSED}\n{REFUSED}\n", encoding="utf-8")
    (line,) = items(read_bundle(file).lines)
    assert (line.count, line.origin) == (2, Origin.IPAMD_LOG)


# Broken and hostile files.


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.95])
def test_half_of_a_list_does_not_pass_for_all_of_it(tmp_path: Path, cut: float) -> None:
    whole = interfaces()
    files = {**cluster_files(free=200), "c/f": whole[: int(len(whole) * cut)]}
    snapshot = read_bundle(folder(tmp_path, files))
    aws = known(snapshot.aws)
    assert aws is not None
    assert isinstance(aws.interfaces, Unknown)
    assert "unparseable" in outcomes(snapshot)["c/f"]
    assert diagnose(snapshot).verdict is Verdict.UNDECIDED


def test_half_of_the_pods_do_not_pass_for_all_of_them(tmp_path: Path) -> None:
    files = cluster_files()
    files["b"] = files["b"][: len(files["b"]) // 2]
    kubernetes = known(read_bundle(folder(tmp_path, files)).kubernetes)
    assert kubernetes is not None
    assert isinstance(kubernetes.pods, Unknown)
    assert isinstance(kubernetes.cni_pods, Unknown)


def test_the_first_page_of_an_answer_does_not_pass_for_all_of_it(tmp_path: Path) -> None:
    page = {**json.loads(subnets(9)), "NextToken": "more"}
    aws = known(read_bundle(folder(tmp_path, {"s.json": json.dumps(page).encode()})).aws)
    assert aws is not None
    assert isinstance(aws.subnets, Unknown)


def test_an_object_that_makes_no_sense_makes_its_list_unknown(tmp_path: Path) -> None:
    files = {"n.json": kubectl("Node", node(), {"metadata": 7}), "p.json": kubectl("Pod", pod_object("a", NODE))}
    kubernetes = known(read_bundle(folder(tmp_path, files)).kubernetes)
    assert kubernetes is not None
    assert isinstance(kubernetes.nodes, Unknown)
    assert len(items(kubernetes.pods)) == 1


def test_names_that_leave_the_archive_and_links_are_harmless(tmp_path: Path) -> None:
    path = tmp_path / "hostile.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name in ("../../../etc/cron.d/evil.log", "/etc/passwd.log"):
            member = tarfile.TarInfo(name)
            member.size = len(REFUSED)
            tar.addfile(member, io.BytesIO(REFUSED.encode()))
        for name, kind, target in (
            ("link.log", tarfile.SYMTYPE, "/etc/passwd"),
            ("hard.log", tarfile.LNKTYPE, "/etc/passwd"),
            ("device.log", tarfile.CHRTYPE, ""),
            ("pipe.log", tarfile.FIFOTYPE, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            tar.addfile(member)
    before = set(tmp_path.rglob("*"))
    snapshot = read_bundle(path)
    assert {line.file for line in items(snapshot.lines)} == {"etc/cron.d/evil.log", "etc/passwd.log"}
    assert outcomes(snapshot)["link.log"] == "left out: a link, or no file"
    assert outcomes(snapshot)["pipe.log"] == "left out: a link, or no file"
    assert set(tmp_path.rglob("*")) == before


def test_links_in_a_folder_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.log"
    secret.write_text(REFUSED, encoding="utf-8")
    inside = tmp_path / "bundle"
    inside.mkdir()
    (inside / "link.log").symlink_to(secret)
    (inside / "loop").symlink_to(inside)
    (inside / "own.log").write_text("Too many pods\n", encoding="utf-8")
    snapshot = read_bundle(inside)
    assert [line.text for line in items(snapshot.lines)] == ["Too many pods"]


def test_a_file_that_expands_without_end_is_read_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "PIECE", 1 << 16)
    monkeypatch.setattr(bundle, "Allowance", lambda: logs.Allowance(1 << 18))
    bomb = gzip.compress(b"\0" * (1 << 22))
    snapshot = read_bundle(folder(tmp_path, {"a.log.gz": bomb, "b.log": REFUSED.encode()}))
    assert "read in part" in outcomes(snapshot)["a.log.gz"]
    assert len(items(snapshot.lines)) == 1


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME], ids=["attributes", "long name"])
def test_an_archive_whose_header_claims_gigabytes_is_not_taken_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: bytes
) -> None:
    monkeypatch.setattr(bundle, "LARGEST_HEADER", 1 << 16)
    endless = tarfile.TarInfo("x")
    endless.type, endless.size = kind, 1 << 22
    data = unpacked(tmp_path, {"ipamd.log": REFUSED.encode()})
    before = data[: 512 * (1 + -(-len(REFUSED) // 512))]
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(gzip.compress(before + endless.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 22) + data))
    snapshot = read_bundle(path)
    assert "expands to more than is read" in outcomes(snapshot)["bomb.tar.gz"]
    assert len(items(snapshot.lines)) == 1, "what came before is kept"


@pytest.mark.parametrize(("ending", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_archives_are_read_however_they_are_compressed(
    tmp_path: Path, ending: str, compress: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"logs.tar.{ending}"
    path.write_bytes(compress(unpacked(tmp_path, {"ipamd.log": REFUSED.encode()})))
    assert len(items(read_bundle(path).lines)) == 1


def test_an_xz_archive_may_not_ask_for_any_memory_it_likes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MOST_XZ_MEMORY", 1 << 16)
    path = tmp_path / "logs.tar.xz"
    path.write_bytes(lzma.compress(unpacked(tmp_path, {"ipamd.log": REFUSED.encode()})))
    assert "read in part" in outcomes(read_bundle(path))["logs.tar.xz"]


def test_members_of_a_zip_that_are_encrypted_are_left_out_and_named(tmp_path: Path) -> None:
    path = tmp_path / "logs.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("ipamd.log", REFUSED)
        made.writestr("own.log", "Too many pods\n")
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x03\x04") + 6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    snapshot = read_bundle(path)
    assert outcomes(snapshot)["ipamd.log"] == "left out: it is encrypted"
    assert [line.text for line in items(snapshot.lines)] == ["Too many pods"]


def test_a_zip_whose_names_are_no_text_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "logs.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("éé.log", REFUSED)
    data = path.read_bytes()
    path.write_bytes(data.replace("éé".encode(), b"\xb7\xb7\xb7\xb7"))
    assert "read in part" in outcomes(read_bundle(path))["logs.zip"]


def test_what_powershell_writes_in_utf_16_is_recognised_like_any_other_output(tmp_path: Path) -> None:
    pods = kubectl("Pod", pod_object("web-1", "ip-1")).decode()
    case = "lines:\n- {origin: pod_event, text: failed to assign an IP address to container}\n"
    written = {"pods.json": pods.encode("utf-16"), "case.yaml": case.encode("utf-16")}
    snapshot = read_bundle(folder(tmp_path, written))
    kubernetes = known(snapshot.kubernetes)
    assert kubernetes is not None
    assert [pod.name for pod in items(kubernetes.pods)] == ["web-1"]
    assert "failed to assign" in items(snapshot.lines)[0].text


def test_an_archive_that_breaks_off_keeps_what_came_before(tmp_path: Path) -> None:
    whole = archive(tmp_path / "whole.tar.gz", {"ipamd.log": REFUSED.encode() * 1, "z.bin": bytes(range(256)) * 4000})
    data = whole.read_bytes()
    broken = tmp_path / "broken.tar.gz"
    broken.write_bytes(data[: len(data) // 2])
    snapshot = read_bundle(broken)
    assert len(items(snapshot.lines)) == 1
    assert "read in part" in outcomes(snapshot)["broken.tar.gz"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 5000,
        bytes(range(256)) * 40,
        b"{" * 5000,
        b"[" * 200_000,
        b'{"items": [' + b"[" * 5000,
        b"\x1f\x8b" + b"junk" * 40,
        b"PK\x03\x04" + b"junk" * 40,
        b"apiVersion: v1\nkind: &a [*a, *a]\n",
        b'{"items": 7, "Subnets": "x", "cluster": []}',
        b'{"Subnets": [7, null, {"SubnetId": 3}]}',
        b"\xff\xfe" + REFUSED.encode("utf-16-le"),
    ],
    ids=[
        "empty",
        "zeros",
        "binary",
        "braces",
        "brackets",
        "deep",
        "gzip",
        "zip",
        "alias",
        "types",
        "junk rows",
        "utf-16",
    ],
)
def test_no_content_of_a_file_makes_the_reading_fail(tmp_path: Path, content: bytes) -> None:
    snapshot = read_bundle(folder(tmp_path, {"x": content, "y.yaml": content, "own.log": REFUSED.encode()}))
    assert any("InsufficientFreeAddressesInSubnet" in line.text for line in items(snapshot.lines))
    assert diagnose(snapshot).verdict in (Verdict.FOUND, Verdict.UNDECIDED)


def test_aliases_that_would_grow_without_end_are_not_read(tmp_path: Path) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 9)}]" for number in range(1, 12)]
    snapshot = read_bundle(folder(tmp_path, {"bomb.yaml": "\n".join(rows).encode()}))
    assert outcomes(snapshot)["bomb.yaml"] == "unparseable: aliases are not read"


def test_a_list_that_is_too_large_for_one_document_is_read_one_object_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "LARGEST_DOCUMENT", 4096)
    monkeypatch.setattr(logs, "PIECE", 1000)
    pods = kubectl("Pod", *(pod_object(f"web-{number}", NODE, ip=f"10.1.1.{number}") for number in range(60)))
    assert len(pods) > 10 * 4096
    kubernetes = known(read_bundle(folder(tmp_path, {"pods.json": pods})).kubernetes)
    assert kubernetes is not None
    assert len(items(kubernetes.pods)) == 60
    cut = folder(tmp_path / "cut", {"pods.json": pods[: len(pods) // 2]})
    kubernetes = known(read_bundle(cut).kubernetes)
    assert kubernetes is not None
    assert isinstance(kubernetes.pods, Unknown)


def test_files_without_end_are_not_all_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MOST_FILES", 5)
    snapshot = read_bundle(folder(tmp_path, {f"{number:02}.log": b"Too many pods\n" for number in range(20)}))
    assert len(items(snapshot.lines)) == 5


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_nothing_at_all_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ProblemsError, match=r"cannot be read|holds no file"):
        read_bundle(tmp_path / name)


# What is there in part.


def workload(name: str, **status: Any) -> Object:
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": {"replicas": 2}, "status": status}


def test_a_kind_of_workload_that_makes_no_sense_leaves_the_others_known(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(kubectl("Deployment", workload("web", readyReplicas=1)))
    (tmp_path / "b.json").write_bytes(kubectl("StatefulSet", {"metadata": {"name": "db"}}))
    kubernetes = known(read_bundle(tmp_path).kubernetes)
    assert kubernetes is not None
    assert [(each.kind, each.name, each.ready) for each in items(kubernetes.workloads)] == [("Deployment", "web", 1)]
    assert kubernetes.unread_workloads.keys() == {"DaemonSet", "Job", "StatefulSet"}
    assert kubernetes.unread_workloads["StatefulSet"].startswith("unparseable (")
    assert kubernetes.unread_workloads["Job"] == "not collected"


def test_a_value_of_an_answer_without_sense_is_unknown_and_nothing_else(tmp_path: Path) -> None:
    wrong = node()
    wrong["status"]["capacity"] = {"pods": "-1"}
    wrong["metadata"]["creationTimestamp"] = "2026-03-99T20:00:00Z"
    (tmp_path / "nodes.json").write_bytes(kubectl("Node", wrong))
    kubernetes = known(read_bundle(tmp_path).kubernetes)
    assert kubernetes is not None
    (read,) = items(kubernetes.nodes)
    assert read.max_pods == Unknown(Reason.UNPARSEABLE, "-1 stands where a whole number from 0 to 2,147,483,647 is due")
    assert isinstance(read.created_at, Unknown)
    assert (read.allocatable_pods, read.internal_ip) == (29, "10.1.0.9")
