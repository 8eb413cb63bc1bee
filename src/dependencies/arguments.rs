//! From the arguments of a tool to the files that its result comes from: what stands under a name that
//! means a path, wherever it stands.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::Source;

/// The names under which paths stand.
const NAMES: [&str; 24] = [
    "path",
    "paths",
    "file",
    "files",
    "filepath",
    "file_path",
    "source",
    "sources",
    "target",
    "input",
    "inputs",
    "output",
    "dir",
    "dirs",
    "directory",
    "directories",
    "folder",
    "folders",
    "root",
    "basedir",
    "base_dir",
    "workspace",
    "filename",
    "cwd",
];

/// What arguments say of files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Inside the root, each once.
    pub inside: BTreeSet<Source>,
    /// As they were written: nobody hears of changes to these.
    pub outside: BTreeSet<String>,
}

/// The files and directories that the arguments name: strings and lists of strings under a name that
/// means a path, and all in maps under such a name, at any depth. Trimmed and normalised under the root;
/// blanks, and what is no string, do not count. A path with `..` in it counts as outside: which file that
/// is depends on where links lead.
pub fn sources_of(arguments: &Value, root: &Path) -> Sources {
    let mut sources = Sources::default();
    // Without recursion: arguments come from outside, and may be deep.
    let mut rest = vec![(arguments, false)];
    while let Some((value, is_named)) = rest.pop() {
        match value {
            Value::Object(map) => rest.extend(
                map.iter()
                    .map(|(name, value)| (value, is_named || means_path(name))),
            ),
            Value::Array(items) => rest.extend(items.iter().map(|item| (item, is_named))),
            Value::String(text) if is_named => {
                sources.add(text.trim(), root);
                // A file may really be called so.
                if text.trim() != text && !text.trim().is_empty() {
                    sources.add(text, root);
                }
            }
            _ => {}
        }
    }
    sources
}

fn means_path(name: &str) -> bool {
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

impl Sources {
    fn add(&mut self, text: &str, root: &Path) {
        if text.is_empty() {
            return;
        }
        let climbs = text.split(['/', '\\']).any(|part| part == "..");
        match Source::under(root, text) {
            Ok(source) if !climbs => {
                self.inside.insert(source);
            }
            _ => {
                self.outside.insert(text.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn inside(arguments: Value) -> Vec<String> {
        let sources = sources_of(&arguments, Path::new("/p"));
        assert_eq!(sources.outside, BTreeSet::new(), "{arguments}");
        let inside = sources.inside.iter();
        inside.map(ToString::to_string).collect()
    }

    #[test]
    fn paths_stand_under_each_of_the_names() {
        for name in NAMES {
            assert_eq!(inside(json!({name: "src/a.rs"})), ["src/a.rs"], "{name}");
        }
        assert_eq!(inside(json!({"File_Path": "a"})), ["a"]);
        assert_eq!(
            inside(json!({"pattern": "src/a.rs", "pathological": "b"})),
            [""; 0]
        );
    }

    #[test]
    fn strings_lists_and_nested_maps_count_and_each_path_once() {
        let arguments = json!({
            "files": ["b.rs", "./a.rs", ["c.rs"], {"path": "d.rs", "left": "e.rs"}],
            "options": {"deep": {"dir": "src/"}},
            "path": "/p/a.rs",
        });
        assert_eq!(
            inside(arguments),
            ["a.rs", "b.rs", "c.rs", "d.rs", "e.rs", "src"]
        );
        assert_eq!(inside(json!({"path": " a "})), [" a ", "a"]);
        assert_eq!(inside(json!({"root": "."})), ["."]);
    }

    #[test]
    fn what_is_no_string_and_blanks_are_ignored() {
        let arguments =
            json!({"path": null, "file": 7, "files": ["", "  ", true, null], "dir": {}});
        assert_eq!(inside(arguments), [""; 0]);
        assert_eq!(inside(json!("path")), [""; 0]);
    }

    #[test]
    fn what_lies_outside_is_told_apart() {
        let sources = sources_of(
            &json!({"files": ["/etc/passwd", "../x", "a", "link/../y"]}),
            Path::new("/p"),
        );
        let outside: Vec<&str> = sources.outside.iter().map(String::as_str).collect();
        assert_eq!(outside, ["../x", "/etc/passwd", "link/../y"]);
        assert_eq!(sources.inside.len(), 1);
    }

    #[test]
    fn deep_arguments_end() {
        let mut value = json!({"path": "a"});
        for _ in 0..100_000 {
            value = Value::Array(vec![value]);
        }
        assert_eq!(sources_of(&value, Path::new("/p")).inside.len(), 1);
        // Dropping it would recurse.
        std::mem::forget(value);
    }
}
