"""Offline bundles: a snapshot, a folder of ordinary outputs, an archive of the EKS log collector, or single files.

Files are recognised by what they hold, whatever they are called: `kubectl get … -o json` (or yaml), `aws … --output
json`, ipamd's metrics and settings, case files, and logs. Nothing is unpacked to the disk: an archive is read from
front to back, its links and special files are passed over, and what it may expand to is bounded. Secrets are never
taken in.

Layout of an archive of the EKS log collector: awslabs/amazon-eks-ami, log-collector-script/linux/eks-log-collector.sh
(`ipamd/`, `kubelet/`, `var_log/aws-routed-eni/`, `system/instance-id.txt`, …).
"""

import codecs
import json
import os
import re
import tarfile
import zipfile
import zlib
from dataclasses import fields, replace
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, cast

import yaml

from headroom.addresses.problems import Problem, ProblemsError
from headroom.collect.aws_objects import known_settings
from headroom.collect.azure_bundle import GatheredAzure, host_local_reading, is_host_local
from headroom.collect.azure_objects import node_network_config
from headroom.collect.bundle_objects import AWS_LISTS, AWS_OBJECTS, KUBERNETES_KINDS, WRONG, Gathered
from headroom.collect.case import case_of, is_case
from headroom.collect.ipamd import pool_reading
from headroom.collect.logs import Allowance, Bounded, TooMuchError, in_utf8, pieces, scan
from headroom.facts.azure import Azure
from headroom.facts.document import from_json, sound
from headroom.facts.snapshot import Snapshot, Source, Stated
from headroom.facts.values import NOT_COLLECTED, Fact, is_known, items, known

SUBJECT: Final = "bundle"
MOST_FILES: Final = 100_000
"""Files of a bundle that are looked at."""
LARGEST_DOCUMENT: Final = 64 * 1024**2
"""Bytes of a JSON document that is read as a whole; lists of objects may be larger, and are read one by one."""
LARGEST_YAML: Final = 16 * 1024**2
LARGEST_HEADER: Final = 1024**2
"""Bytes between two files of a tar archive: longer names and attributes nobody writes."""
_ENCRYPTED: Final = 0x1
"""Flag of an encrypted member (ZIP application note, 4.4.4)."""
HEAD: Final = 64 * 1024
"""Bytes by which a file is recognised."""

# Folders of the log collector's archive that hold neither logs nor facts for us.
_PASSED_OVER: Final = frozenset({"networking", "sysctls", "storage", "cni", "nodeadm", "throttled_processes"})
_NO_TEXT: Final = (".png", ".jpg", ".gz.sig", ".pyc", ".so", ".db", ".sqlite", ".pcap")
_SETTINGS_FILES: Final = ("ipamd-env-settings.json", "networkutils-env-settings.json")
_METRIC: Final = b"awscni_"
_HOST: Final = re.compile(rb"^Linux (\S+) ")
_INSTANCE: Final = re.compile(r"^i-[0-9a-f]{8,17}$")
_LIST_KEY: Final = re.compile(r'"(items|' + "|".join(AWS_LISTS) + r')"\s*:\s*\[')
_KIND: Final = re.compile(r'"kind"\s*:\s*"(\w+)"')
_ALIAS: Final = re.compile(r"(?:^|[\s\[,{])\*[\w-]")
_DAMAGED: Final = (
    EOFError,
    OSError,
    zlib.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    NotImplementedError,  # a way of compressing that zipfile does not know
    UnicodeDecodeError,  # a name in a zip file's directory
)


def read_bundle(path: Path) -> Snapshot:
    """Reads a bundle.

    Args:
        path: A folder, an archive (tar, tar.gz, zip), or one file of those that a folder may hold.

    Raises:
        ProblemsError: It cannot be read at all, or holds nothing that is known; or a case file or snapshot in it is
            wrong.
    """
    reader = _Reader()
    try:
        if path.is_dir():
            reader.folder(path)
        else:
            with path.open("rb") as stream:
                reader.file(stream, path.name, size=path.stat().st_size)
    except OSError as error:
        raise _refused(str(path), f"cannot be read: {error.strerror or error}.") from None
    return reader.snapshot(str(path))


class _Reader:
    """Reads the files of one bundle, one after the other."""

    def __init__(self) -> None:
        self._gathered = Gathered()
        self._azure = GatheredAzure()
        self._on_azure = False
        self._allowance = Allowance()
        self._sources: list[Source] = []
        self._files = 0
        self._base: Snapshot | None = None
        self._cases: list[Snapshot] = []
        self._environment: dict[str, str] = {}
        self._metrics: list[bytes] = []
        self._node: Fact[str] = None

    # Where files come from.

    def folder(self, path: Path) -> None:
        """Every file below a folder, by name; links are not followed."""
        for parent, folders, names in os.walk(path, followlinks=False):
            folders[:] = sorted(each for each in folders if not each.startswith("."))
            for name in sorted(names):
                file = Path(parent) / name
                shown = file.relative_to(path).as_posix()
                if self._files >= MOST_FILES:
                    self._told(shown, f"left out: more than {MOST_FILES:,} files")
                    return
                if file.is_symlink() or not file.is_file():
                    self._told(shown, "left out: a link, or no file")
                    continue
                try:
                    with file.open("rb") as stream:
                        self.file(stream, shown, size=file.stat().st_size)
                except OSError as error:
                    self._told(shown, f"not read: {error.strerror or error}")

    def file(self, stream: BinaryIO, name: str, *, size: int, nested: bool = False) -> None:
        """One file, whatever it is."""
        self._files += 1
        head = stream.read(HEAD)
        stream.seek(0)
        try:
            if not nested and _is_tar(head, name):
                self._tar(stream, name)
            elif not nested and head.startswith(b"PK\x03\x04"):
                self._zip(stream, name)
            else:
                self._content(stream, name, head, size)
        except TooMuchError:
            self._told(name, "read in part: it expands to more than is read of a bundle")
        except _DAMAGED as error:
            self._told(name, f"read in part: {error}")

    def _tar(self, stream: BinaryIO, name: str) -> None:
        # The headers' own extensions (names, attributes) are read whole by tarfile, whatever length they claim.
        bounded = Bounded(stream, self._allowance, most=LARGEST_HEADER)
        with tarfile.open(fileobj=cast("BinaryIO", bounded), mode="r|") as archive:
            for member in archive:
                bounded.may_give(max(member.size, 0) + LARGEST_HEADER)
                if self._files >= MOST_FILES:
                    self._told(name, f"read in part: more than {MOST_FILES:,} files")
                    return
                if member.isdir():
                    continue
                if member.issparse():
                    self._told(member.name, "left out: a sparse file")
                    continue
                file = archive.extractfile(member) if member.isreg() else None
                self._member(member.name, member.size, cast("BinaryIO | None", file))

    def _zip(self, stream: BinaryIO, name: str) -> None:
        with zipfile.ZipFile(stream) as archive:
            for member in archive.infolist():
                if self._files >= MOST_FILES:
                    self._told(name, f"read in part: more than {MOST_FILES:,} files")
                    return
                if member.is_dir():
                    continue
                if member.flag_bits & _ENCRYPTED:
                    self._told(member.filename, "left out: it is encrypted")
                    continue
                if not self._allowance.take(member.file_size):
                    raise TooMuchError
                with archive.open(member) as file:
                    self._member(member.filename, member.file_size, cast("BinaryIO", file))

    def _member(self, name: str, size: int, file: "BinaryIO | None") -> None:
        """A file of an archive. It is never written anywhere, so its name can do no harm; what it holds is bounded."""
        shown = "/".join(part for part in PurePosixPath(name).parts if part not in ("/", "..", "."))
        if file is None:
            self._told(shown, "left out: a link, or no file")
            return
        folder = shown.partition("/")[0]
        if folder in _PASSED_OVER or shown.lower().endswith(_NO_TEXT):
            return
        # A member cannot be read twice; what is recognised as a whole is small, and the rest is only scanned.
        self.file(cast("BinaryIO", _Rewindable(file)), shown, size=size, nested=True)

    # What a file is.

    def _content(self, stream: BinaryIO, name: str, head: bytes, size: int) -> None:
        head = in_utf8(head)
        base = name.rpartition("/")[2]
        if base == "instance-id.txt" and _INSTANCE.match(head[:64].decode("ascii", "replace").strip()):
            self._node = known(self._node) or head[:64].decode("ascii", "replace").strip()
            return
        if base == "uname.txt" and (found := _HOST.match(head)) is not None:
            self._node = found.group(1).decode("ascii", "replace")
            return
        if _METRIC in head:
            self._metrics.append(b"".join(pieces(stream, self._allowance))[:LARGEST_DOCUMENT])
            self._told(name, items=1)
            return
        if base in _SETTINGS_FILES:
            self._take_settings(stream, name)
            return
        if is_host_local(head.decode("utf-8", "replace")):
            text = b"".join(pieces(stream, self._allowance))[:LARGEST_YAML].decode("utf-8", "replace")
            self._azure.host_local.append(host_local_reading(text))
            self._told(name, items=1)
            return
        start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
        if start in (b"{", b"[") and not _is_json_log(head):
            self._json(stream, name, size)
        elif _is_yaml(head, base) and size <= LARGEST_YAML:
            self._yaml(stream, name)
        else:
            self._log(stream, name)

    def _log(self, stream: BinaryIO, name: str) -> None:
        lines, source = scan(stream, name, node=self._node, allowance=self._allowance)
        self._gathered.lines += lines
        self._sources.append(source)

    def _take_settings(self, stream: BinaryIO, name: str) -> None:
        try:
            document = json.loads(b"".join(pieces(stream, self._allowance))[:LARGEST_DOCUMENT] or b"{}")
        except (ValueError, RecursionError):
            self._told(name, "unparseable: no JSON")
            return
        if isinstance(document, dict):
            self._environment.update(known_settings(document.items()))
            self._told(name, items=len(document))

    def _yaml(self, stream: BinaryIO, name: str) -> None:
        text = b"".join(pieces(stream, self._allowance)).decode("utf-8", "replace")
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            if _ALIAS.search(text) and any(isinstance(each, yaml.AliasEvent) for each in yaml.parse(text, loader)):
                self._told(name, "unparseable: aliases are not read")  # they can grow without end
                return
            documents = list(yaml.load_all(text, loader))
        except (yaml.YAMLError, ValueError, RecursionError):
            self._log(BytesIO(text.encode()), name)
            return
        taken = sum(self._document(each, name) for each in documents)
        if taken:
            self._told(name, items=taken)
        else:
            self._log(BytesIO(text.encode()), name)

    def _json(self, stream: BinaryIO, name: str, size: int) -> None:
        if size > LARGEST_DOCUMENT:
            self._objects(stream, name)
            return
        text = b"".join(pieces(stream, self._allowance)).decode("utf-8", "replace")
        try:
            document = json.loads(text)
        except RecursionError:
            self._told(name, "unparseable: nested too deeply")
            return
        except ValueError as error:
            if not self._several(text, name):
                self._broken(text[:HEAD], name, f"{name}: {error}")
            return
        taken = self._document(document, name)
        self._told(name, "" if taken else "nothing in it is known", items=taken)

    def _several(self, text: str, name: str) -> bool:
        """Several documents one after the other, as `kubectl get -w -o json` writes them; false where they are not."""
        decoder, place, found = json.JSONDecoder(), 0, []
        while True:
            while place < len(text) and text[place].isspace():
                place += 1
            if place >= len(text):
                break
            try:
                document, place = decoder.raw_decode(text, place)
            except (ValueError, RecursionError):
                return False
            found.append(document)
        if len(found) < 2:  # noqa: PLR2004 - one is not several
            return False
        taken = sum(self._document(each, name) for each in found)
        self._told(name, "" if taken else "nothing in it is known", items=taken)
        return True

    def _objects(self, stream: BinaryIO, name: str) -> None:
        """A list of objects that is too large to be read as a whole, one object at a time."""
        buffer, key, taken, ended = "", "", 0, False
        texts = codecs.iterdecode(pieces(stream, self._allowance), "utf-8", "replace")
        for text in texts:
            buffer += text
            if not key and (found := _LIST_KEY.search(buffer)) is not None:
                key, buffer = found.group(1), buffer[found.end() :]
            if key:
                items, place, ended = _items_of(buffer)
                taken += sum(self._item(key, item) for item in items)
                buffer = buffer[place:]
            if ended:
                self._told(name, items=taken)
                return
            if len(buffer) > LARGEST_DOCUMENT:
                break
        self._broken(f'"{key}": [ {buffer[:HEAD]}', name, f"{name}: the list does not end")

    def _document(self, document: object, name: str) -> int:
        """Takes in a document; returns how many things in it are known."""
        if isinstance(document, list):
            return sum(self._document(each, name) for each in document)
        if not isinstance(document, dict):
            return 0
        if is_case(document) or _is_snapshot(document):
            self._own(document, name)
            return 1
        if isinstance(document.get("items"), list):
            return sum(self._item("items", each) for each in document["items"])
        if "kind" in document and "metadata" in document:
            return self._item("items", document)
        return self._of_azure(document, name) or self._aws(document)

    def _of_azure(self, document: dict[str, Any], name: str) -> int:
        """An object of the Azure CLI, or a list as Azure Resource Manager answers it."""
        if isinstance(document.get("value"), list):
            return sum(self._document(each, name) for each in document["value"])
        return int(self._azure.take(document))

    def _own(self, document: dict[str, Any], name: str) -> None:
        """A file that Headroom itself defines."""
        if is_case(document):
            self._cases.append(case_of(document, name=name))
        else:
            self._base = from_json(document, subject=name)

    def _aws(self, document: dict[str, Any]) -> int:
        taken = 0
        for key in AWS_LISTS:
            if isinstance(document.get(key), list):
                if document.get("NextToken"):
                    self._gathered.broken(key, f"{key}: only the first page (NextToken is left)")
                self._gathered.seen(key)
                taken += 1 + sum(self._item(key, each) for each in document[key])
        for key in AWS_OBJECTS:
            if isinstance(document.get(key), dict):
                self._gathered.take_aws(key, document[key])
                if key == "cluster":
                    self._gathered.cluster_name = document[key].get("name")
                taken += 1
        return taken

    def _item(self, key: str, item: object) -> int:
        if not isinstance(item, dict):
            return 0
        if key == "items" and item.get("kind") == "NodeNetworkConfig":
            return self._network_config(item)
        if key == "items":
            self._on_azure |= _is_azure_node(item)
            return int(self._gathered.take_kubernetes(item))
        self._gathered.take_aws(key, item)
        return 1

    def _network_config(self, item: dict[str, Any]) -> int:
        try:
            self._azure.configs.append(node_network_config(item))
        except WRONG:
            return 0
        return 1

    def _broken(self, text: str, name: str, why: str) -> None:
        """Marks what a damaged file held as unknown: half of a list would pass for all of it."""
        found = _LIST_KEY.search(text)
        if found is None and "{" not in text[:1]:
            self._told(name, f"unparseable: {why}")
            return
        if found is not None and found.group(1) != "items":
            self._gathered.broken(found.group(1), why)
        for kind in set(_KIND.findall(text)) & KUBERNETES_KINDS:
            self._gathered.broken(kind, why)
        self._told(name, f"unparseable: {why}")

    def _told(self, name: str, outcome: str = "", *, items: int = 0) -> None:
        if len(self._sources) < MOST_FILES:
            self._sources.append(Source(name=name, outcome=outcome, items=items))

    # What it comes to.

    def snapshot(self, name: str) -> Snapshot:
        """Everything together.

        Raises:
            ProblemsError: There was nothing.
        """
        gathered = self._gathered
        for text in self._metrics:
            node = known(self._node) or "unknown"
            try:
                gathered.pools.append(pool_reading(node, text.decode("utf-8", "replace")))
            except WRONG:
                self._told("ipamd metrics", "unparseable")
        base = self._base or Snapshot()
        if gathered.is_kubernetes():
            base = replace(base, kubernetes=gathered.kubernetes())
        if gathered.is_aws():
            kubernetes = known(base.kubernetes)
            base = replace(base, cloud="aws", aws=gathered.aws(items(kubernetes.nodes) if kubernetes else ()))
        base = self._with_azure(base)
        stated = known(base.stated)
        lines = [*items(base.lines), *gathered.lines]
        for case in self._cases:
            lines += items(case.lines)
            stated = known(case.stated) or stated
            base = replace(base, cloud=case.cloud if case.cloud is not NOT_COLLECTED else base.cloud)
        if self._environment:
            stated = stated or Stated()
            base = replace(base, cloud="aws")
            if known(stated.environment) is None:
                stated = replace(stated, environment=dict(sorted(self._environment.items())))
        found = replace(
            base,
            cluster=gathered.cluster_name or self._azure.cluster_name or base.cluster,
            pools=tuple(gathered.pools) if gathered.pools else base.pools,
            lines=tuple(lines) if lines or self._sources else NOT_COLLECTED,
            stated=stated,
            sources=(*base.sources, *self._sources),
        )
        if self._files == 0 or not (self._sources or self._base):
            raise _refused(name, "holds no file that could be read.")
        return sound(found)

    def _with_azure(self, base: Snapshot) -> Snapshot:
        """What files say of Azure; where none does, its nodes say that it is a cluster of Azure."""
        if self._azure.is_azure():
            return replace(base, cloud="azure", aws=None, azure=_joined(base.azure, self._azure.azure()))
        return replace(base, cloud="azure", aws=None) if self._on_azure and not known(base.cloud) else base


def _is_azure_node(item: dict[str, Any]) -> bool:
    """Whether an object is a node that is a VM of Azure (cloud-provider-azure, spec.providerID)."""
    spec = item.get("spec")
    return item.get("kind") == "Node" and isinstance(spec, dict) and str(spec.get("providerID")).startswith("azure://")


def _joined(before: Fact[Azure], found: Azure) -> Azure:
    """What a snapshot held, with what other files say of it."""
    held = known(before)
    if held is None:
        return found
    changed = {entry.name: value for entry in fields(Azure) if is_known(value := getattr(found, entry.name)) and value}
    return replace(held, **changed)


class _Rewindable:
    """A file of an archive that can be read once: its head is kept, so that it can begin again."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._head, self._place = file, b"", 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        kept = self._head[self._place :] if size < 0 else self._head[self._place : self._place + size]
        self._place += len(kept)
        if kept and size >= 0:
            return kept
        fresh = self._file.read(size)
        if len(self._head) < HEAD and self._place == len(self._head):
            self._head += fresh
            self._place = len(self._head)
        return kept + fresh

    def seek(self, place: int) -> int:
        """Back to the beginning, as long as no more than the head was read."""
        self._place = place
        return place


def _items_of(text: str) -> tuple[list[object], int, bool]:
    """The items of a JSON list's text: those that are whole, where the rest begins, and whether the list ends there."""
    decoder, place, found = json.JSONDecoder(), 0, list[object]()
    while True:
        while place < len(text) and (text[place].isspace() or text[place] == ","):
            place += 1
        if place >= len(text) or text[place] == "]":
            return found, place, place < len(text)
        try:
            item, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            return found, place, False
        found.append(item)


def _is_tar(head: bytes, name: str) -> bool:
    if head[257:262] == b"ustar":
        return True
    lowered = name.lower()
    return head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")) and (
        lowered.endswith((".tgz", ".tbz2", ".txz")) or ".tar" in lowered
    )


def _is_json_log(head: bytes) -> bool:
    """Whether it is a log of one JSON object a line."""
    first = head.lstrip().split(b"\n", 1)[0]
    if not first.rstrip().endswith(b"}"):
        return False
    try:
        line = json.loads(first)
    except (ValueError, RecursionError):
        return False
    return isinstance(line, dict) and "kind" not in line and bool({"level", "ts", "time", "log", "msg"} & line.keys())


def _is_yaml(head: bytes, name: str) -> bool:
    if name.lower().endswith((".yaml", ".yml")):
        return True
    return head.startswith((b"apiVersion:", b"kind:", b"lines:", b"known:", b"---\napiVersion:"))


def _is_snapshot(document: dict[str, Any]) -> bool:
    version = document.get("version")
    return type(version) is int and bool({"aws", "azure", "kubernetes", "cloud", "lines", "stated"} & document.keys())


def _refused(value: str, reason: str) -> ProblemsError:
    problem = Problem(
        rule="bundle",
        value=value,
        reason=reason,
        next_step="Name a folder of outputs, an archive of the EKS log collector, or a snapshot.",
        key="--bundle",
    )
    return ProblemsError([problem], subject=SUBJECT)
