//! Every mistake in a manifest, with the exact line, column and field that must be named.

use super::{POD, problems_of};

/// What of the Pod is replaced, by what, and the line, column, field and text of the problem.
type Mistake = (
    &'static str,
    &'static str,
    (usize, usize, &'static str, &'static str),
);

#[test]
fn each_mistake_is_named_with_its_line_column_and_field() {
    // What is replaced, by what, and the problem that must be reported.
    let table: &[Mistake] = &[
        (
            "  name: web",
            "  name: We_b",
            (4, 9, "metadata.name", "not a name of a Kubernetes object"),
        ),
        (
            "  name: web",
            "  labels: {a: b}",
            (4, 3, "metadata.name", "required"),
        ),
        ("kind: Pod", "kind: Prod", (1, 1, "", "no document of kind Pod")),
        (
            "apiVersion: v1",
            "apiVersion: v2",
            (1, 13, "apiVersion", "a Pod is of `v1`"),
        ),
        (
            "      lun: 0",
            "      lun: 256",
            (
                25,
                12,
                "spec.volumes[0].iscsi.lun",
                "256 is not a whole number from 0 to 255",
            ),
        ),
        (
            "      lun: 0",
            "      lun: -1",
            (25, 12, "spec.volumes[0].iscsi.lun", "-1 is not a whole number"),
        ),
        (
            "      lun: 0",
            "      lun: 0.5",
            (25, 12, "spec.volumes[0].iscsi.lun", "0.5 is not a whole number"),
        ),
        (
            "      lun: 0",
            "      lun: '0'",
            (25, 12, "spec.volumes[0].iscsi.lun", "remove the quotes"),
        ),
        (
            "      lun: 0",
            "      lun: [0]",
            (
                25,
                12,
                "spec.volumes[0].iscsi.lun",
                "expected a number, found a list",
            ),
        ),
        (
            "      lun: 0",
            "      lun: first",
            (
                25,
                12,
                "spec.volumes[0].iscsi.lun",
                "expected a number, found a string",
            ),
        ),
        (
            "      lun: 0",
            "      Lun: 0",
            (
                25,
                7,
                "spec.volumes[0].iscsi.Lun",
                "unknown field (did you mean `lun`?)",
            ),
        ),
        (
            "      lun: 0",
            "      lun:",
            (23, 7, "spec.volumes[0].iscsi.lun", "required and is missing"),
        ),
        (
            "      fsType: ext4",
            "      fstype: ext4",
            (26, 7, "spec.volumes[0].iscsi.fstype", "did you mean `fsType`?"),
        ),
        (
            "      fsType: ext4",
            "      fsType: ext3",
            (
                26,
                15,
                "spec.volumes[0].iscsi.fsType",
                "not a supported file system type",
            ),
        ),
        (
            "      fsType: ext4",
            "      fsType: 4",
            (
                26,
                15,
                "spec.volumes[0].iscsi.fsType",
                "found a number (put it in quotes)",
            ),
        ),
        (
            "      fsType: ext4",
            "      fsType: ext4\n      lun: 7",
            (
                27,
                7,
                "",
                "`lun` is given twice in one mapping (first in line 25)",
            ),
        ),
        (
            "      readOnly: true\n  - name: data",
            "      readOnly: yes\n  - name: data",
            (
                27,
                17,
                "spec.volumes[0].iscsi.readOnly",
                "write `true` or `false`",
            ),
        ),
        (
            "      readOnly: true\n  - name: data",
            "      readOnly: \"true\"\n  - name: data",
            (27, 17, "spec.volumes[0].iscsi.readOnly", "found a string"),
        ),
        (
            "      targetPortal: 127.0.0.1:3260\n      iqn",
            "      targetPortal: 127.0.0.1:0\n      iqn",
            (23, 21, "spec.volumes[0].iscsi.targetPortal", "not valid"),
        ),
        (
            "      targetPortal: 127.0.0.1:3260\n      iqn",
            "      targetPortal: ''\n      iqn",
            (23, 21, "spec.volumes[0].iscsi.targetPortal", "must not be empty"),
        ),
        (
            "['[::1]:3261', 127.0.0.1:3260]",
            "['::1:3261:']",
            (31, 17, "spec.volumes[1].iscsi.portals[0]", "not valid"),
        ),
        (
            "['[::1]:3261', 127.0.0.1:3260]",
            "[5]",
            (31, 17, "spec.volumes[1].iscsi.portals[0]", "put it in quotes"),
        ),
        (
            "['[::1]:3261', 127.0.0.1:3260]",
            "nas",
            (
                31,
                16,
                "spec.volumes[1].iscsi.portals",
                "expected a list, found a string",
            ),
        ),
        (
            "      iqn: iqn.2003-01.org.example:disk\n      lun: 0",
            "      iqn: disk\n      lun: 0",
            (24, 12, "spec.volumes[0].iscsi.iqn", "disk"),
        ),
        (
            "      iscsiInterface: default",
            "      initiatorName: nobody",
            (34, 22, "spec.volumes[1].iscsi.initiatorName", "nobody"),
        ),
        (
            "      iscsiInterface: default",
            "      chapAuthSession: true",
            (34, 24, "spec.volumes[1].iscsi.secretRef", "needs a Secret"),
        ),
        (
            "      iscsiInterface: default",
            "      chapAuthSession: true\n      secretRef: {name: chap}",
            (
                35,
                25,
                "spec.volumes[1].iscsi.secretRef.name",
                "no Secret \"chap\" in namespace \"default\"",
            ),
        ),
        (
            "      iscsiInterface: default",
            "      secretRef: {nam: chap}",
            (
                34,
                19,
                "spec.volumes[1].iscsi.secretRef.nam",
                "did you mean `name`?",
            ),
        ),
        (
            "    - name: pages\n",
            "    - name: page\n",
            (
                12,
                13,
                "spec.containers[0].volumeMounts[0].name",
                "no volume of this Pod is named \"page\" (did you mean \"pages\"?)",
            ),
        ),
        (
            "      mountPath: /pages",
            "      mountPath: pages",
            (
                13,
                18,
                "spec.containers[0].volumeMounts[0].mountPath",
                "not an absolute path",
            ),
        ),
        (
            "      mountPath: /pages",
            "      mountPath: /a/../../etc",
            (
                13,
                18,
                "spec.containers[0].volumeMounts[0].mountPath",
                "`..` would lead out",
            ),
        ),
        (
            "      mountPath: /pages",
            "      mountPath: /",
            (
                13,
                18,
                "spec.containers[0].volumeMounts[0].mountPath",
                "container's root",
            ),
        ),
        (
            "      mountPath: /pages",
            "      mountPth: /pages",
            (
                13,
                7,
                "spec.containers[0].volumeMounts[0].mountPth",
                "did you mean `mountPath`?",
            ),
        ),
        (
            "      mountPath: /pages",
            "      mountPath: /pages\n      subPath: x",
            (
                14,
                16,
                "spec.containers[0].volumeMounts[0].subPath",
                "published whole",
            ),
        ),
        (
            "mountPath: /again",
            "mountPath: /var//data/",
            (
                18,
                31,
                "spec.containers[1].volumeMounts[1].mountPath",
                "the same path as the mount in line 17",
            ),
        ),
        (
            "mountPath: /again",
            "mountPath: /var/data/x",
            (
                18,
                31,
                "spec.containers[1].volumeMounts[1].mountPath",
                "a path of its own",
            ),
        ),
        (
            "    - {name: scratch, mountPath: /tmp}",
            "    volumeDevices:\n    - {name: data, devicePath: /dev/x}",
            (20, 7, "spec.containers[1].volumeDevices[0]", "longshore attach"),
        ),
        (
            "  - name: writer",
            "  - name: reader",
            (15, 11, "spec.containers[1].name", "given twice (first in line 9)"),
        ),
        (
            "  - name: writer",
            "  - name: ../x",
            (15, 11, "spec.containers[1].name", "not a DNS label"),
        ),
        (
            "  - name: data\n    iscsi",
            "  - name: pages\n    iscsi",
            (28, 11, "spec.volumes[1].name", "given twice (first in line 21)"),
        ),
        (
            "    emptyDir: {}",
            "    emptydir: {}",
            (36, 5, "spec.volumes[2].emptydir", "did you mean `emptyDir`?"),
        ),
        (
            "    emptyDir: {}",
            "    emptyDir: {}\n    iscsi: {}",
            (35, 5, "spec.volumes[2]", "of one kind only"),
        ),
        (
            "  volumes:",
            "  volumes: 3\n  nodeSelector:",
            (20, 12, "spec.volumes", "expected a list, found a number"),
        ),
        (
            "longshore.storage/format.data: ifBlank",
            "longshore.storage/format.data: yes please",
            (
                6,
                36,
                "metadata.annotations[\"longshore.storage/format.data\"]",
                "neither `never` nor `ifBlank`",
            ),
        ),
        (
            "longshore.storage/format.data: ifBlank",
            "longshore.storage/format.dat: ifBlank",
            (
                6,
                5,
                "metadata.annotations[\"longshore.storage/format.dat\"]",
                "did you mean \"data\"?",
            ),
        ),
        (
            "longshore.storage/format.data: ifBlank",
            "longshore.storage/fromat: ifBlank",
            (
                6,
                5,
                "metadata.annotations[\"longshore.storage/fromat\"]",
                "did you mean `longshore.storage/format`?",
            ),
        ),
        (
            "longshore.storage/format.data: ifBlank",
            "longshore.storage/wwid: naa.1",
            (
                6,
                29,
                "metadata.annotations[\"longshore.storage/wwid\"]",
                "belongs to one volume",
            ),
        ),
        (
            "longshore.storage/format.data: ifBlank",
            "longshore.storage/wwid.data: 1234",
            (
                6,
                34,
                "metadata.annotations[\"longshore.storage/wwid.data\"]",
                "put it in quotes",
            ),
        ),
        (
            "longshore.storage/format.data: ifBlank",
            "longshore.storage/wwid.data: naa.xyz",
            (30, 7, "spec.volumes[1].iscsi", "not a WWID"),
        ),
        ("spec:\n", "spec: [\n", (8, 3, "", "this is not YAML")),
    ];
    let mut wrong = String::new();
    for (old, new, (line, column, field, part)) in table {
        assert!(POD.contains(old), "{old:?} is not in the Pod");
        let found = problems_of(&POD.replacen(old, new, 1));
        let hit = found.iter().any(|(l, c, f, text)| {
            (*l, f.as_str()) == (*line, *field) && (*c == *column) && text.contains(part)
        });
        let broken_yaml = *part == "this is not YAML" && found[0].3.contains(part);
        if !hit && !broken_yaml {
            wrong.push_str(&format!(
                "{new:?}:\n  expected {line}:{column} {field}: {part}\n  found {found:?}\n"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
