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

/// Where a cost and a quality stand in the picture.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    /// From the nearest twentieth below all qualities to the nearest above.
    fn of(curves: &[Curve]) -> Self {
        let qualities = || curves.iter().flat_map(|curve| &curve.points).map(|point| point.quality);
        let low = libm::floor(qualities().fold(1.0, f64::min) * 20.0) / 20.0;
        let high = libm::ceil(qualities().fold(0.0, f64::max) * 20.0) / 20.0;
        Self { low, high: high.max(low + 0.05) }
    }

    fn x(cost: f64) -> f64 {
        LEFT + cost.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, quality: f64) -> f64 {
        TOP + (self.high - quality) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)
    }
}

/// Draws curves and points with names. Costs are shares of the dearest lane's, qualities from 0 to 1.
pub fn svg(curves: &[Curve], marks: &[(String, Point)]) -> String {
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"system-ui, sans-serif\" \
         font-size=\"12\" fill=\"#7f7f7f\">\n<title>Quality over cost of ways of choosing a lane</title>\n"
    );
    let scale = Scale::of(curves);
    axes(&scale, &mut text);
    let styles = COLOURS.into_iter().zip(DASHES).cycle();
    let mut row = TOP + 12.0;
    for (curve, style) in curves.iter().zip(styles) {
        draw(curve, style, (&scale, row), &mut text);
        row += 18.0;
    }
    for (name, point) in marks {
        mark(name, *point, &scale, &mut text);
    }
    text.push_str("</svg>\n");
    text
}

/// A grid with figures: every fifth of the cost, every twentieth of the quality.
fn axes(scale: &Scale, text: &mut String) {
    let (foot, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for step in 0..=5_u8 {
        let cost = f64::from(step) / 5.0;
        let at = Scale::x(cost);
        let _ = writeln!(
            text,
            "<path d=\"M{at:.1} {TOP}V{foot}\" stroke=\"#7f7f7f\" stroke-opacity=\".2\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{:.0}</text>",
            foot + 16.0,
            cost * 100.0
        );
    }
    let mut quality = scale.low;
    while quality <= scale.high + 1e-9 {
        let at = scale.y(quality);
        let _ = writeln!(
            text,
            "<path d=\"M{LEFT} {at:.1}H{right:.1}\" stroke=\"#7f7f7f\" stroke-opacity=\".2\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.0}</text>",
            LEFT - 6.0,
            at + 4.0,
            quality * 100.0
        );
        quality += 0.05;
    }
    let _ = writeln!(
        text,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">cost, % of always-reasoning</text>\n\
         <text x=\"{LEFT}\" y=\"14\">quality, %</text>",
        f64::midpoint(LEFT, right),
        HEIGHT - 10.0
    );
}

/// A curve, and its name in the legend at `row`.
fn draw(curve: &Curve, (colour, dash): (&str, &str), (scale, row): (&Scale, f64), text: &mut String) {
    let at = |point: &Point| format!("{:.1} {:.1}", Scale::x(point.cost), scale.y(point.quality));
    let path: Vec<String> = curve.points.iter().map(at).collect();
    let stroke = format!("stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"");
    let start = WIDTH - RIGHT + 12.0;
    let _ = writeln!(
        text,
        "<path d=\"M{}\" fill=\"none\" {stroke}/>\n\
         <path d=\"M{start} {:.1}h20\" {stroke}/><text x=\"{:.1}\" y=\"{row:.1}\">{}</text>",
        path.join("L"),
        row - 4.0,
        start + 26.0,
        curve.name
    );
}

fn mark(name: &str, point: Point, scale: &Scale, text: &mut String) {
    let (at, up) = (Scale::x(point.cost), scale.y(point.quality));
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
