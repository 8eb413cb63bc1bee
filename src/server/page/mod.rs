//! The page for people, made here and whole: it says everything without a script. The script of the
//! page only fetches the same pieces again and puts them in place of the old ones.

mod html;
mod sparkline;
mod units;

use serde_json::Value;

use self::html::Html;
use self::sparkline::sparkline;
use self::units::{bytes, count, millis, percent, rate};
use super::samples::{MAX_SAMPLES, Recent, Sample};
use crate::error::Error;
use crate::health::HealthState;
use crate::query::Answer;

/// The frame: `{{nonce}}`, `{{query}}` and `{{pieces}}` are put in.
const FRAME: &str = include_str!("page.html");

/// How many files an answer on the page lists.
pub(super) const MAX_HITS: usize = 50;

/// What a page tells.
pub(super) struct Told<'a> {
    /// The same as `/v1/stats` gives.
    pub(super) stats: &'a Value,
    /// From old to new.
    pub(super) samples: &'a [Sample],
    /// The newest first.
    pub(super) recent: &'a [Recent],
    pub(super) asked: Asked,
    /// How old the index may be and still be called fresh, in milliseconds.
    pub(super) fresh_ms: u64,
}

/// What was asked in the query box, and what came of it.
pub(super) enum Asked {
    Nothing,
    Found {
        answer: Box<Answer>,
        took_us: u64,
        plan: String,
    },
    Refused(Error),
}

/// The whole page. Without `told`, the pieces come when the reader has shown the token.
pub(super) fn document(nonce: &str, query: &str, told: Option<&Told<'_>>) -> String {
    let mut escaped = Html::default();
    escaped.text(query);
    let pieces = match told {
        Some(told) => pieces(told),
        None => LOCKED.to_owned(),
    };
    // The query last: what stands in it is replaced by nothing any more.
    let page = FRAME.replace("{{nonce}}", nonce);
    let (before, after) = page.split_once("{{pieces}}").unwrap_or((&page, ""));
    let (head, tail) = before.split_once("{{query}}").unwrap_or((before, ""));
    [head, &escaped.finish(), tail, &pieces, after].concat()
}

/// Shown where reading wants the token. The form for it is the script's.
const LOCKED: &str = "<p id=\"badge\" class=\"badge unknown\"><span id=\"state\" role=\"status\">locked</span>\
    <span id=\"age\"></span></p><section id=\"answer\" aria-label=\"Answer\"><p><strong id=\"summary\" \
    role=\"status\"></strong><span id=\"detail\">What this server knows is shown to whoever has its \
    token.</span></p><div id=\"found\"></div></section><div id=\"live\"></div><noscript><p>This page asks \
    for the token with a script, and scripts are off. Programs send it as <code>Authorization: Bearer \
    TOKEN</code>.</p></noscript>";

/// Shown where there is no script to bring newer pieces.
const ONCE: &str = "<noscript><p class=\"dim\">This is how things were when the page was loaded; load it \
    again for newer.</p></noscript>";

/// The pieces that change, each under its id. Only `state` and `summary` are read aloud when they do:
/// what differs each time, as ages and microseconds, stands outside them.
pub(super) fn pieces(told: &Told<'_>) -> String {
    let mut html = Html::default();
    badge(&mut html, told);
    html.raw("<section id=\"answer\" aria-label=\"Answer\"><p>");
    answer(&mut html, &told.asked);
    html.raw("</div></section><div id=\"live\">");
    reasons(&mut html, &told.stats["health"]);
    html.raw("<div class=\"cards\">");
    index(&mut html, told);
    following(&mut html, told);
    memory(&mut html, told);
    requests(&mut html, told);
    html.raw("</div>");
    caches(&mut html, told.stats);
    changes(&mut html, told.recent);
    html.raw("</div>").raw(ONCE);
    html.finish()
}

/// How fresh it is, in a word and a colour that agree.
fn badge(html: &mut Html, told: &Told<'_>) {
    let stats = told.stats;
    let state = stats["health"]["state"].as_str().unwrap_or("unknown");
    let age = stats["ageMs"].as_u64();
    let (class, word) = match (state, age) {
        ("healthy", Some(age)) if age <= told.fresh_ms => ("healthy", "fresh"),
        _ => (state, state),
    };
    let age = age.map_or("not loaded".to_owned(), |age| {
        format!("{} old", millis(age))
    });
    html.raw("<p id=\"badge\" class=\"badge ").text(class);
    html.raw("\"><span id=\"state\" role=\"status\">")
        .text(word);
    html.raw("</span><span id=\"age\">, ").text(&age);
    html.raw(" <span class=\"at\">at ")
        .text(text(&stats["asOf"]))
        .raw("</span></span></p>");
}

/// Why it is not healthy, with the cures.
fn reasons(html: &mut Html, health: &Value) {
    let mut found = Vec::new();
    collect(health, &mut found);
    if found.is_empty() {
        return;
    }
    html.raw("<section class=\"reasons\"><h2>What is wrong</h2><ul>");
    for (part, reason) in found {
        html.raw("<li><strong>").text(part).raw("</strong>: ");
        html.text(text(&reason["message"])).raw(" <code>");
        html.text(text(&reason["code"])).raw("</code>");
        if let Some(help) = reason["help"].as_str() {
            html.raw("<br><span class=\"help\">")
                .text(help)
                .raw("</span>");
        }
        html.raw("</li>");
    }
    html.raw("</ul></section>");
}

fn collect<'v>(health: &'v Value, found: &mut Vec<(&'v str, &'v Value)>) {
    if health["state"] == HealthState::Disabled.name() {
        return;
    }
    let reasons = health["reasons"].as_array().into_iter().flatten();
    found.extend(reasons.map(|reason| (text(&health["name"]), reason)));
    for part in health["parts"].as_array().into_iter().flatten() {
        collect(part, found);
    }
}

/// Opens the summary, closes it, and leaves what was found open.
fn answer(html: &mut Html, asked: &Asked) {
    const SUMMARY: &str = "strong id=\"summary\" role=\"status\"";
    const FOUND: &str = "</span></p><div id=\"found\">";
    match asked {
        Asked::Nothing => {
            html.element(SUMMARY, "").raw("<span id=\"detail\">");
            html.raw(FOUND);
        }
        Asked::Refused(error) => {
            html.element(
                "strong id=\"summary\" role=\"status\" class=\"error\"",
                &format!("{error:#}"),
            );
            html.raw("<span id=\"detail\"> ");
            html.element("code", error.code()).raw(FOUND);
            refused(html, error);
        }
        Asked::Found {
            answer,
            took_us,
            plan,
        } => {
            let total = answer.total();
            let files = if total == 1 { "file" } else { "files" };
            html.element(SUMMARY, &format!("{} {files}", count(total)));
            html.raw("<span id=\"detail\">")
                .text(&format!(" in {took_us} µs"));
            let listed = answer.len() as u64;
            if listed < total {
                html.text(&format!(", the first {listed} are listed"));
            }
            if !answer.is_complete() {
                html.raw(
                    " <strong>Rows of some files cannot be read: those were not asked.</strong>",
                );
            }
            html.raw(FOUND);
            hits(html, answer, plan);
        }
    }
}

fn hits(html: &mut Html, answer: &Answer, plan: &str) {
    html.raw("<ol class=\"hits\">");
    for hit in answer.hits() {
        html.raw("<li><a href=\"/v1/files/")
            .url(hit.path)
            .raw("\">");
        html.text(hit.path).raw("</a> ");
        html.element("span class=\"dim\"", hit.language.unwrap_or_default());
        html.raw("</li>");
    }
    html.raw("</ol><details><summary>Plan</summary><pre>");
    html.text(plan).raw("</pre></details>");
}

/// The bad place of what was asked, marked, and the help.
fn refused(html: &mut Html, error: &Error) {
    if let Some(excerpt) = error.excerpt() {
        let (start, end) = (excerpt.at.start, excerpt.at.end.max(excerpt.at.start));
        let parts = (
            excerpt.text.get(..start),
            excerpt.text.get(start..end),
            excerpt.text.get(end..),
        );
        if let (Some(before), Some(bad), Some(after)) = parts {
            html.raw("<pre>").text(before).raw("<mark>");
            html.text(if bad.is_empty() { "▯" } else { bad });
            html.raw("</mark>").text(after).raw("</pre>");
        }
    }
    if let Some(help) = error.help() {
        html.element("p class=\"help\"", help);
    }
}

fn index(html: &mut Html, told: &Told<'_>) {
    let index = &told.stats["index"];
    let languages = index["languages"].as_array().map_or(0, Vec::len) as u64;
    let mut rows = vec![
        ("files", count(number(&index["files"]))),
        ("languages", count(languages)),
        ("function names", count(number(&index["functions"]))),
        ("class names", count(number(&index["classes"]))),
        ("cited documents", count(number(&index["references"]))),
        ("memory", bytes(number(&index["bytes"]))),
    ];
    if number(&index["unreadable"]) > 0 {
        rows.insert(1, ("unreadable", count(number(&index["unreadable"]))));
    }
    card(html, "Index", &rows, None);
}

fn following(html: &mut Html, told: &Told<'_>) {
    let sync = &told.stats["sync"];
    let last = &sync["last"];
    let mut rows = vec![("looked at", ago(&sync["lagMs"]))];
    if last.is_object() {
        rows.push(("last pass", text(&last["mode"]).to_owned()));
        rows.push(("it took", millis(number(&last["durationMs"]))));
    }
    if sync["failure"].is_object() {
        rows.push(("failing", text(&sync["failure"]["message"]).to_owned()));
    }
    let lag: Vec<_> = told.samples.iter().map(|sample| sample.lag_ms).collect();
    let top = |top: f64| millis(top as u64);
    card(html, "Database", &rows, Some(("lag", &lag, &top)));
}

fn memory(html: &mut Html, told: &Told<'_>) {
    let pressure = &told.stats["pressure"];
    let held: Vec<_> = told.samples.iter().map(|sample| sample.bytes).collect();
    let top = |top: f64| bytes(top as u64);
    let now = held.last().copied().flatten().unwrap_or_default();
    let mut rows = vec![("caches hold", bytes(now as u64))];
    if pressure.is_object() {
        let share = pressure["share"].as_f64();
        rows.push(("pressure", share.map_or("not known".to_owned(), percent)));
        let threshold = pressure["threshold"].as_f64().map(percent);
        rows.push(("threshold", threshold.unwrap_or_default()));
        if let Some(source) = pressure["source"].as_str() {
            rows.push(("tightest", source.to_owned()));
        }
        rows.push((
            "relieved",
            format!("{} times", count(number(&pressure["triggers"]))),
        ));
    }
    card(
        html,
        "Memory",
        &rows,
        Some(("memory of the caches", &held, &top)),
    );
}

fn requests(html: &mut Html, told: &Told<'_>) {
    let requests = &told.stats["requests"];
    let rates: Vec<_> = told.samples.iter().map(|sample| sample.requests).collect();
    let hits: Vec<_> = told.samples.iter().map(|sample| sample.hit_rate).collect();
    let of = |some: &str, most: &str| {
        format!(
            "{} of {}",
            count(number(&requests[some])),
            count(number(&requests[most]))
        )
    };
    let now = rates.last().copied().flatten();
    let mut rows = vec![
        ("answered", now.map_or("not known yet".to_owned(), rate)),
        ("worked on", of("working", "maxWorking")),
        ("waiting", count(number(&requests["waiting"]))),
        ("connections", of("connections", "maxConnections")),
        ("up", millis(number(&told.stats["uptimeMs"]))),
    ];
    if let Some(hits) = hits.iter().rev().flatten().next() {
        rows.insert(1, ("last hit ratio", percent(*hits)));
    }
    card(html, "Requests", &rows, Some(("requests", &rates, &rate)));
}

/// One number over ten minutes: its name, its values, and how its top is told.
type Past<'a> = (&'a str, &'a [Option<f64>], &'a dyn Fn(f64) -> String);

fn card(html: &mut Html, title: &str, rows: &[(&str, String)], past: Option<Past<'_>>) {
    html.raw("<section class=\"card\">")
        .element("h2", title)
        .raw("<dl>");
    for (name, value) in rows {
        html.raw("<div>")
            .element("dt", name)
            .element("dd", value)
            .raw("</div>");
    }
    html.raw("</dl>");
    if let Some((name, values, tell)) = past {
        let top = values.iter().flatten().copied().fold(0.0, f64::max);
        let says = format!("{name} over ten minutes, at most {}", tell(top));
        sparkline(html, values, MAX_SAMPLES, &says);
        html.element("p class=\"dim\"", &says);
    }
    html.raw("</section>");
}

fn caches(html: &mut Html, stats: &Value) {
    html.raw(
        "<section><h2>Caches</h2><div class=\"wide\"><table><thead><tr><th scope=\"col\">name</th>\
         <th scope=\"col\">entries</th><th scope=\"col\">memory</th><th scope=\"col\">used</th>\
         <th scope=\"col\">hit ratio</th><th scope=\"col\">evictions</th></tr></thead><tbody>",
    );
    for cache in stats["caches"].as_array().into_iter().flatten() {
        html.raw("<tr><th scope=\"row\">")
            .text(text(&cache["name"]))
            .raw("</th>");
        if let Some(error) = cache["error"].as_str() {
            html.raw("<td colspan=\"5\" class=\"error\">")
                .text(error)
                .raw("</td></tr>");
            continue;
        }
        let of = |held: &Value, most: &Value, tell: &dyn Fn(u64) -> String| {
            let held = held.as_u64().map_or("not known".to_owned(), tell);
            match most.as_u64() {
                Some(most) => format!("{held} of {}", tell(most)),
                None => held,
            }
        };
        html.element("td", &of(&cache["entries"], &cache["capacity"], &count));
        html.element("td", &of(&cache["bytes"], &cache["maxBytes"], &bytes));
        meter(html, cache);
        let gets = number(&cache["hits"]) + number(&cache["misses"]);
        let ratio = cache["hitRate"].as_f64().filter(|_| gets > 0).map(percent);
        html.element("td", &ratio.unwrap_or("no gets yet".to_owned()));
        html.element("td", &count(number(&cache["evictions"])));
        html.raw("</tr>");
    }
    html.raw("</tbody></table></div>");
    bus(html, &stats["bus"]);
    html.raw("</section>");
}

/// What hears of changes, in one line.
fn bus(html: &mut Html, bus: &Value) {
    if !bus.is_object() {
        return;
    }
    let told = bus["events"].as_object().into_iter().flatten();
    let told = told.map(|(_, events)| number(events)).sum();
    let mut says = format!("Bus: {} events told", count(told));
    if bus["node"].is_object() {
        let (others, state) = (number(&bus["node"]["nodes"]), text(&bus["state"]));
        let processes = if others == 1 { "process" } else { "processes" };
        says.push_str(&format!(", {} other {processes}, {state}", count(others)));
    }
    html.element("p class=\"dim\"", &says);
}

/// The share of its tighter limit that a cache uses.
fn meter(html: &mut Html, cache: &Value) {
    let share = |held: &Value, most: &Value| {
        let most = most.as_f64().filter(|most| *most > 0.0)?;
        Some(held.as_f64()? / most)
    };
    let shares = [
        share(&cache["entries"], &cache["capacity"]),
        share(&cache["bytes"], &cache["maxBytes"]),
    ];
    let Some(used) = shares.into_iter().flatten().reduce(f64::max) else {
        html.element("td", "unlimited");
        return;
    };
    html.raw("<td><meter aria-label=\"used of ")
        .text(text(&cache["name"]))
        .raw("\" min=\"0\" max=\"1\" value=\"")
        .number(used)
        .raw("\">");
    html.text(&percent(used))
        .raw("</meter> ")
        .text(&percent(used))
        .raw("</td>");
}

fn changes(html: &mut Html, recent: &[Recent]) {
    html.raw("<section><h2>Changed last</h2>");
    if recent.is_empty() {
        html.raw("<p class=\"dim\">Nothing has changed since this server began.</p></section>");
        return;
    }
    html.raw("<ul class=\"hits\">");
    for change in recent {
        html.raw("<li>");
        match change.is_deleted {
            true => {
                html.element("del", &change.path);
            }
            false => {
                html.raw("<a href=\"/v1/files/")
                    .url(&change.path)
                    .raw("\">");
                html.text(&change.path).raw("</a>");
            }
        }
        let at = change.at.format("%Y-%m-%dT%H:%M:%SZ").to_string();
        html.raw(" <time class=\"dim\" datetime=\"")
            .text(&at)
            .raw("\">")
            .text(&at);
        html.raw("</time></li>");
    }
    html.raw("</ul></section>");
}

fn ago(value: &Value) -> String {
    let ago = |ms| format!("{} ago", millis(ms));
    value.as_u64().map_or("never".to_owned(), ago)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

#[cfg(test)]
mod tests;
