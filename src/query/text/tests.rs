//! Texts that are queries, texts that are none, and that text and tree are the same.

use proptest::prelude::*;

use crate::query::Query;

fn canonical(text: &str) -> String {
    match Query::parse(text) {
        Ok(query) => query.to_text(),
        Err(error) => panic!("{text}: {error}"),
    }
}

#[test]
fn a_text_puts_a_query() {
    for (text, same) in [
        ("", ""),
        ("  \n ", ""),
        (
            "language:Rust function:parse reference:docs/A.md",
            "fn:parse ref:docs/A.md lang:rust",
        ),
        ("fn:a fn:b OR fn:c", "(fn:a fn:b OR fn:c)"),
        ("(fn:a fn:b) OR fn:c", "(fn:a fn:b OR fn:c)"),
        ("fn:a (fn:b OR class:c)", "fn:a (fn:b OR class:c)"),
        ("fn:a OR fn:b OR fn:c", "fn:a,b,c"),
        ("fn:a OR (fn:b OR (fn:c))", "fn:a,b,c"),
        ("((fn:a)(fn:b))", "fn:a fn:b"),
        ("lang:rust,Go -lang:c", "lang:rust,go -lang:c"),
        ("-(fn:a fn:b)", "-(fn:a fn:b)"),
        ("-(-fn:a)", "fn:a"),
        ("-(-(-fn:a))", "-fn:a"),
        ("-(fn:a OR fn:b)", "-fn:a,b"),
        ("-(fn:a OR class:b)", "-(fn:a OR class:b)"),
        ("-((-fn:a) OR class:b)", "-(-fn:a OR class:b)"),
        ("fn:operator()", "fn:operator()"),
        ("(fn:operator() OR fn:f(a)) fn:x", "fn:x fn:operator(),f(a)"),
        (r#"fn:"operator new""#, r#"fn:"operator new""#),
        (r#"fn:"a""#, "fn:a"),
        (r#"fn:"a\"b\\c\d""#, r#"fn:"a\"b\\c\\d""#),
        (r#"fn:"a,b",c"#, r#"fn:"a,b",c"#),
        (r#"fn:"operator*""#, r#"fn:"operator*""#),
        (r"class:App\Model", r"class:App\Model"),
        ("fn:std::swap", "fn:std::swap"),
        ("fn:-x", "fn:-x"),
        (r"path:\.rs$", r"path:\.rs$"),
        (r"path:a\ b", r"path:a\ b"),
        (r"(path:\)$)", r"path:\)$"),
        (
            "(path:^(a|b)/ OR glob:**/{a,b}*)",
            "(path:^(a|b)/ OR glob:**/{a,b}*)",
        ),
        (r#"path:"a b""#, r#"path:"a b""#),
        ("class:ä\u{a0}fn:é", "class:ä fn:é"),
    ] {
        assert_eq!(canonical(text), same, "{text}");
        assert_eq!(canonical(same), same);
    }
}

#[test]
fn text_and_builder_make_the_same_query() {
    let one = |field, value| Query::builder().field(field, value).build().unwrap();
    let built = Query::builder()
        .language("rust")
        .path_regex("^src/")
        .any_of([one("function", "a"), one("function", "b")])
        .not(one("glob", "**/*.py"))
        .and(one("class", "Lexer"))
        .build()
        .unwrap();
    let text = "lang:rust (fn:a OR fn:b) path:^src/ -glob:**/*.py class:Lexer";
    assert_eq!(Query::parse(text).unwrap(), built);
    assert_eq!(built.names("function"), ["a", "b"]);
    assert_eq!(built.names("class"), ["Lexer"]);
    assert!(built.names("glob").is_empty());
}

#[test]
fn a_malformed_text_is_refused_with_its_place() {
    for (text, message, place) in [
        ("parse", "`parse` stands without a field", "parse"),
        ("fn:a and fn:b", "`and` stands without a field", "and"),
        ("fn:a or fn:b", "`or` stands without a field", "or"),
        ("NOT fn:b", "`NOT` stands without a field", "NOT"),
        (
            r#""fn:a""#,
            r#"`"fn:a"` stands without a field"#,
            r#""fn:a""#,
        ),
        ("lnag:rust", "unknown query field `lnag`", "lnag"),
        ("fn:a size:>10k", "unknown query field `size`", "size"),
        ("limit:5", "unknown query field `limit`", "limit"),
        ("fn:", "the function to look for is empty", ""),
        ("fn: a", "the function to look for is empty", ""),
        ("path:", "the path pattern to look for is empty", ""),
        ("lang:rust,", "the language to look for is empty", ""),
        ("lang:a,,b", "the language to look for is empty", ""),
        (r#"fn:"""#, "the function to look for is empty", r#""""#),
        (
            "fn:parse*",
            "names are compared whole: no star stands for others",
            "*",
        ),
        (r#"fn:"a"#, "this quote is not closed", r#""a"#),
        (
            r#"fn:a"b c""#,
            "a value stands in quotes as a whole, or not at all",
            r#"""#,
        ),
        (
            r#"fn:"a"b"#,
            "a value stands in quotes as a whole, or not at all",
            "b",
        ),
        (
            r#"path:"a","b""#,
            "a value stands in quotes as a whole, or not at all",
            ",",
        ),
        ("(fn:a", "this parenthesis is not closed", "("),
        ("fn:a)", "no parenthesis is open here", ")"),
        ("()", "a criterion is missing before `)`", ")"),
        ("fn:a (fn:b OR )", "a criterion is missing before `)`", ")"),
        ("OR fn:a", "a criterion is missing before `OR`", "OR"),
        (
            "fn:a OR OR fn:b",
            "a criterion is missing before `OR`",
            "OR",
        ),
        ("fn:a OR", "a criterion is missing at the end", ""),
        ("- fn:a", "`-` denies nothing here", "-"),
        ("fn:a -", "`-` denies nothing here", "-"),
        ("--fn:a", "`-` denies nothing here", "-"),
        ("-parse", "`parse` stands without a field", "parse"),
        (
            "fn:a path:src/(lexer",
            "pattern `src/(lexer` is invalid: unclosed group",
            "(",
        ),
        (
            r#"fn:a path:"x (""#,
            "pattern `x (` is invalid: unclosed group",
            r#""x (""#,
        ),
        (
            "(glob:[a)",
            "glob `[a` is invalid: unclosed character class; missing ']'",
            "[a",
        ),
    ] {
        let error = Query::parse(text).unwrap_err();
        assert_eq!(error.to_string(), message, "{text}");
        let excerpt = error.excerpt().unwrap();
        assert_eq!(
            (&excerpt.text[..], &text[excerpt.at.clone()]),
            (text, place)
        );
    }
}

#[test]
fn help_names_what_was_meant() {
    for (text, help) in [
        ("lan:rust", "did you mean `lang:`?"),
        ("func:parse", "did you mean `function:`?"),
        ("fm:parse", "did you mean `fn:`?"),
        (
            "fn:a or fn:b",
            "`OR` between alternatives is written in capitals",
        ),
        (
            "fn:a AND fn:b",
            "leave it out: criteria beside each other must all hold",
        ),
        (
            "parse",
            "there is no full text: say where to look, as in fn:parse or path:parse",
        ),
    ] {
        assert_eq!(Query::parse(text).unwrap_err().help(), Some(help), "{text}");
    }
}

#[test]
fn what_is_too_much_is_refused() {
    let names = |count: usize| vec!["x"; count].join(",");
    assert!(Query::parse(&format!("fn:{}", names(64))).is_ok());
    let many = Query::parse(&format!("lang:a fn:{}", names(64))).unwrap_err();
    assert_eq!(many.to_string(), "a query has at most 64 criteria");
    assert_eq!(
        many.excerpt().unwrap().at.start,
        "lang:a fn:".len() + 63 * 2
    );

    let nested = |depth: usize| format!("{}fn:x{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(canonical(&nested(32)), "fn:x");
    assert!(Query::parse(&nested(33)).is_err());
    assert!(Query::parse(&nested(200_000)).is_err());
    let denied = |depth: usize| {
        let open = "-(class:y ".repeat(depth);
        format!("{open}fn:x{}", ")".repeat(depth))
    };
    assert_eq!(canonical(&denied(32)), denied(32));
    let deep = Query::parse(&denied(33)).unwrap_err();
    assert_eq!(
        deep.to_string(),
        "a query has at most 32 groups inside each other"
    );

    let long = format!("fn:{}", "x".repeat(4097));
    let error = Query::parse(&long).unwrap_err();
    assert_eq!(error.excerpt().unwrap().at, 3..long.len());
    assert!(Query::parse(&" ".repeat(super::MAX_QUERY_TEXT_BYTES)).is_ok());
    assert!(Query::parse(&" ".repeat(super::MAX_QUERY_TEXT_BYTES + 1)).is_err());
    assert!(Query::parse(&"fn:a ".repeat(200_000)).is_err());
}

#[test]
fn the_longest_query_can_be_put_as_text() {
    let name = "\"".repeat(4096);
    let mut query = Query::builder();
    for _ in 0..64 {
        query = query.reference(&name);
    }
    let query = query.build().unwrap();
    assert_eq!(Query::parse(&query.to_text()).unwrap(), query);
}

#[test]
fn groups_that_say_nothing_are_refused() {
    let every = Query::builder().build().unwrap();
    let limited = Query::builder().class("A").limit(1).build().unwrap();
    let many = || std::iter::repeat_with(|| Query::parse("fn:a").unwrap());
    for (built, message) in [
        (
            Query::builder().any_of([]),
            "no alternatives are given to choose from",
        ),
        (
            Query::builder().any_of([every.clone()]),
            "a query without criteria stands in a group",
        ),
        (
            Query::builder().not(every.clone()),
            "a query without criteria stands in a group",
        ),
        (
            Query::builder().not(limited.clone()),
            "a part of a query has a limit of its own: 1",
        ),
        (
            Query::builder().and(limited),
            "a part of a query has a limit of its own: 1",
        ),
        (
            Query::builder().any_of(many()),
            "a query has at most 64 criteria",
        ),
    ] {
        assert_eq!(built.build().unwrap_err().to_string(), message);
    }
    let none = Query::builder().and(every).build().unwrap();
    assert_eq!(none.to_text(), "");
}

/// Names and patterns with everything that a text gives a meaning to.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-c]{1,3}",
        2 => r#"[a-b(),:\\"* -]{1,6}"#,
        1 => "(OR|or|-|lang:x|\\PC{1,5}|[\u{0}-\u{20}é\u{3000}]{1,3})",
    ]
}

/// A criterion; a pattern that does not compile becomes a name.
fn criterion() -> impl Strategy<Value = Query> {
    (0usize..6, value()).prop_map(|(field, value)| {
        let field = ["language", "function", "class", "reference", "path", "glob"][field];
        let built = Query::builder().field(field, &value).build();
        built.unwrap_or_else(|_| Query::builder().function(&value).build().unwrap())
    })
}

fn query() -> impl Strategy<Value = Query> {
    criterion().prop_recursive(5, 24, 4, |inner| {
        let group = prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4)
                .prop_map(|queries| Query::builder().any_of(queries)),
            inner.clone().prop_map(|query| Query::builder().not(query)),
            inner.prop_map(|query| Query::builder().and(query)),
        ];
        let beside = proptest::collection::vec(criterion(), 0..3);
        (group, beside).prop_filter_map("larger than a query may be", |(group, beside)| {
            beside
                .into_iter()
                .fold(group, |all, query| all.and(query))
                .build()
                .ok()
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_is_its_text(query in query()) {
        let text = query.to_text();
        let read = Query::parse(&text);
        prop_assert!(read.is_ok(), "{text}: {read:?}");
        prop_assert_eq!(read.unwrap().to_text(), &text[..]);
        prop_assert_eq!(Query::parse(&text).unwrap(), query, "{}", text);
    }

    #[test]
    fn any_text_is_a_query_or_refused_with_a_place(
        pieces in proptest::collection::vec(
            prop_oneof![
                proptest::sample::select(vec![
                    "fn:", "lang:", "path:", "glob:", "-", "(", ")", " ", " OR ", "\"", "\\", ",",
                    "a", "*", "é", "fn:a", "class:B ", "limit:1", "size:2", "\u{a0}", "\u{0}",
                ]).prop_map(str::to_owned),
                "\\PC{0,4}",
            ],
            0..16,
        ),
    ) {
        let text = pieces.concat();
        match Query::parse(&text) {
            Ok(query) => {
                let same = query.to_text();
                prop_assert_eq!(Query::parse(&same).unwrap(), query);
                prop_assert_eq!(canonical(&same), same);
            }
            Err(error) => {
                let excerpt = error.excerpt().unwrap();
                prop_assert_eq!(&excerpt.text, &text);
                prop_assert!(text.get(excerpt.at.clone()).is_some(), "{:?}", excerpt);
            }
        }
    }
}
