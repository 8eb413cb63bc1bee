//! The questions: files drawn at random, and a function of such a file with its language, so that a name
//! is asked for as often as it occurs.

use cardex::{Cardex, Fetch, Query};

use crate::common::Random;

/// The targets of the requests, by case.
pub(crate) struct Questions {
    pub(crate) points: Vec<String>,
    pub(crate) queries: Vec<String>,
}

impl Questions {
    pub(crate) fn draw(cardex: &Cardex, count: usize) -> Self {
        let every = Query::builder().build().expect("it has no criteria");
        let answer = cardex.query(&every).expect("the index is loaded");
        let paths: Vec<&str> = answer.paths().collect();
        let mut random = Random(7);
        let mut questions = Questions {
            points: Vec::new(),
            queries: Vec::new(),
        };
        while questions.queries.len() < count {
            let at = random.below(paths.len());
            if questions.points.len() < count {
                questions
                    .points
                    .push(format!("/v1/files/{}", escaped(paths[at])));
            }
            let page = cardex.records(&answer, &Fetch::page(at..at + 1));
            let page = page.expect("nobody writes");
            let record = &page.records[0];
            let methods = record.classes.iter().flat_map(|class| &class.methods);
            let named = record
                .functions
                .iter()
                .chain(methods)
                .find_map(|f| f.name.as_ref());
            if let (Some(language), Some(function)) = (&record.language, named) {
                questions.queries.push(format!(
                    "/v1/query?language={}&function={}&limit=20",
                    escaped(language),
                    escaped(function)
                ));
            }
        }
        questions
    }
}

fn escaped(text: &str) -> String {
    let each = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    });
    each.collect()
}
