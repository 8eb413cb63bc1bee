//! Ten minutes of one number as a small picture, drawn where the page is made.

use super::html::Html;

/// The picture's size, in its own units.
const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 40.0;
/// Room for the line's own width at the edges.
const MARGIN: f64 = 2.0;

/// Draws the values from old to new; `most` of them fill the width, so that a young server's line
/// begins in the middle. A value that is not known is a gap. `says` is the picture in words.
pub(super) fn sparkline(html: &mut Html, values: &[Option<f64>], most: usize, says: &str) {
    let known = || values.iter().flatten().copied();
    let top = known().fold(0.0_f64, f64::max);
    html.raw("<svg class=\"spark\" role=\"img\" preserveAspectRatio=\"none\" viewBox=\"0 0 ");
    html.number(WIDTH)
        .raw(" ")
        .number(HEIGHT)
        .raw("\" aria-label=\"");
    html.text(says).raw("\"><path d=\"");
    let step = WIDTH / (most.max(2) - 1) as f64;
    let first = most.saturating_sub(values.len());
    let mut is_down = false;
    for (at, value) in values.iter().enumerate() {
        let Some(value) = value else {
            is_down = false;
            continue;
        };
        let x = (first + at) as f64 * step;
        let share = if top > 0.0 { value / top } else { 0.0 };
        let y = HEIGHT - MARGIN - share * (HEIGHT - 2.0 * MARGIN);
        html.raw(if is_down { "L" } else { "M" });
        html.number(round(x)).raw(" ").number(round(y));
        // A lone point is a dot, drawn as a line of no length.
        if !is_down {
            html.raw("h0");
        }
        is_down = true;
    }
    html.raw("\"/></svg>");
}

/// To a tenth of a unit.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(values: &[Option<f64>], most: usize) -> String {
        let mut html = Html::default();
        sparkline(&mut html, values, most, "of a test");
        let svg = html.finish();
        assert!(svg.contains("aria-label=\"of a test\""), "{svg}");
        let path = svg.split("d=\"").nth(1).unwrap();
        path.split('"').next().unwrap().to_owned()
    }

    #[test]
    fn the_newest_value_is_at_the_right_edge_and_the_largest_at_the_top() {
        assert_eq!(path(&[Some(0.0), Some(5.0)], 2), "M0 38h0L240 2");
        assert_eq!(path(&[Some(5.0)], 3), "M240 2h0");
    }

    #[test]
    fn what_is_not_known_is_a_gap_and_nothing_is_no_line() {
        assert_eq!(path(&[], 3), "");
        assert_eq!(path(&[None, None], 3), "");
        assert_eq!(path(&[Some(1.0), None, Some(1.0)], 3), "M0 2h0M240 2h0");
        assert_eq!(path(&[Some(0.0), Some(0.0)], 2), "M0 38h0L240 38");
    }
}
