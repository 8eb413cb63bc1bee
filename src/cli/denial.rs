//! Denials among the arguments: in `cardex query lang:rust -fn:parse` the last one is text. Read as
//! flags, it would be `-f` with the name `n:parse`, and the answer a wrong one.

use std::ffi::OsString;

use cardex::Query;

/// The flags whose value is the next argument, whatever that begins with.
const WITH_VALUE: [&str; 16] = [
    "-t",
    "--language",
    "-f",
    "--function",
    "-c",
    "--class",
    "-r",
    "--reference",
    "-p",
    "--path",
    "-g",
    "--glob",
    "-n",
    "--limit",
    "-C",
    "--directory",
];

/// The arguments, with a blank before each denial of a query: so it is no flag, and the same text.
pub(super) fn shielded(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut shielded: Vec<OsString> = Vec::new();
    let mut is_query = false;
    for argument in arguments {
        let is_value = shielded
            .last()
            .and_then(|last| last.to_str())
            .is_some_and(|last| WITH_VALUE.contains(&last));
        let denial = argument.to_str().filter(|text| is_denial(text));
        match denial {
            Some(text) if is_query && !is_value => shielded.push(format!(" {text}").into()),
            _ => {
                is_query |= argument == "query";
                shielded.push(argument);
            }
        }
    }
    shielded
}

/// Whether an argument is `-(` or `-field:` and more. The field need not be one: a slip must not
/// become a flag. But what is no field before two colons is a flag with its value: `-fstd::swap`.
fn is_denial(argument: &str) -> bool {
    let Some(denied) = argument.strip_prefix('-') else {
        return false;
    };
    let Some((field, value)) = denied.split_once(':') else {
        return denied.starts_with('(');
    };
    let is_name = field.len() > 1 && field.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_field = Query::text_fields().any(|known| known == field);
    denied.starts_with('(') || is_field || is_name && !value.starts_with(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shield(line: &str) -> String {
        let arguments = line.split(' ').map(OsString::from);
        let shielded = shielded(arguments);
        let shown = shielded.iter().map(|argument| argument.to_string_lossy());
        shown.collect::<Vec<_>>().join("|")
    }

    #[test]
    fn denials_of_a_query_are_no_flags() {
        for (line, shielded) in [
            ("cardex query fn:a -fn:b", "cardex|query|fn:a| -fn:b"),
            ("cardex -q query -func:b", "cardex|-q|query| -func:b"),
            ("cardex query -(fn:b OR", "cardex|query| -(fn:b|OR"),
            ("cardex query -f -fn:b -c x", "cardex|query|-f|-fn:b|-c|x"),
            ("cardex query -g -(1).txt", "cardex|query|-g|-(1).txt"),
            ("cardex query -fstd::swap", "cardex|query|-fstd::swap"),
            ("cardex query -path::foo", "cardex|query| -path::foo"),
            ("cardex query -class::Foo", "cardex|query| -class::Foo"),
            ("cardex query -fn::b", "cardex|query| -fn::b"),
            ("cardex query -ref::b", "cardex|query| -ref::b"),
            (
                "cardex query -fn -t rust -n2",
                "cardex|query|-fn|-t|rust|-n2",
            ),
            ("cardex show -fn:b", "cardex|show|-fn:b"),
        ] {
            assert_eq!(shield(line), shielded);
        }
    }
}
