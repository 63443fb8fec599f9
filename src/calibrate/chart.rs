//! Curves of quality over cost as a picture.
//!
//! Must not know what the curves are of.

use std::fmt::Write as _;

use super::measure::Point;
use super::study::Curve;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 48.0;
/// Told apart also by those who see few colours, on light and dark ground.
const COLOURS: [&str; 5] = ["#0072b2", "#e69f00", "#cc79a7", "#7f7f7f", "#009e73"];
const DASHES: [&str; 5] = ["", "6 3", "2 3", "8 4", ""];

/// Draws curves and points with names. Costs are shares of the dearest lane's, qualities from 0 to 1.
pub fn svg(curves: &[Curve], marks: &[(String, Point)]) -> String {
    let qualities = || curves.iter().flat_map(|curve| &curve.points).map(|point| point.quality);
    let low = libm::floor(qualities().fold(1.0, f64::min) * 20.0) / 20.0;
    let high = libm::ceil(qualities().fold(0.0, f64::max) * 20.0) / 20.0;
    let x = |cost: f64| LEFT + cost.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT);
    let y = |quality: f64| TOP + (high - quality) / (high - low).max(0.01) * (HEIGHT - TOP - BOTTOM);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"system-ui, sans-serif\" \
         font-size=\"12\" fill=\"#7f7f7f\">\n<title>Quality over cost of ways of choosing a lane</title>\n"
    );
    for step in 0..=5_u8 {
        let cost = f64::from(step) / 5.0;
        let (at, foot) = (x(cost), HEIGHT - BOTTOM);
        let _ = writeln!(
            text,
            "<path d=\"M{at:.1} {TOP}V{foot}\" stroke=\"#7f7f7f\" stroke-opacity=\".2\"/><text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{:.0}</text>",
            foot + 16.0,
            cost * 100.0
        );
    }
    let mut quality = low;
    while quality <= high + 1e-9 {
        let at = y(quality);
        let _ = writeln!(
            text,
            "<path d=\"M{LEFT} {at:.1}H{:.1}\" stroke=\"#7f7f7f\" stroke-opacity=\".2\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.0}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0,
            quality * 100.0
        );
        quality += 0.05;
    }
    let _ = writeln!(
        text,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">cost, % of always-reasoning</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 10.0
    );
    let _ = writeln!(text, "<text x=\"{LEFT}\" y=\"14\">quality, %</text>");
    let styles = COLOURS.iter().zip(DASHES).cycle();
    let mut row = TOP + 12.0;
    for (curve, (colour, dash)) in curves.iter().zip(styles) {
        let path: Vec<String> =
            curve.points.iter().map(|point| format!("{:.1} {:.1}", x(point.cost), y(point.quality))).collect();
        let _ = writeln!(
            text,
            "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"/>",
            path.join("L")
        );
        let start = WIDTH - RIGHT + 12.0;
        let _ = writeln!(
            text,
            "<path d=\"M{start} {:.1}h20\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"/><text x=\"{:.1}\" y=\"{row:.1}\">{}</text>",
            row - 4.0,
            start + 26.0,
            curve.name
        );
        row += 18.0;
    }
    for (name, point) in marks {
        let (at, up) = (x(point.cost), y(point.quality));
        // On the right there is no room beside the point.
        let (dx, dy, anchor) = if point.cost > 0.8 { (-6.0, -10.0, "end") } else { (8.0, 14.0, "start") };
        let _ = writeln!(
            text,
            "<circle cx=\"{at:.1}\" cy=\"{up:.1}\" r=\"4\" fill=\"#0072b2\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{name}</text>",
            at + dx,
            up + dy
        );
    }
    text.push_str("</svg>\n");
    text
}
