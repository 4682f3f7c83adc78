//! Quality against speed, as an SVG: each network a point with its interval. Pure.

use crate::report::{Result, name};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 52.0;

pub(crate) fn svg(results: &[Result]) -> String {
    let speeds = results
        .iter()
        .map(|result| result.times_real_time.max(0.01).log10());
    let (slowest, fastest) = speeds.fold((0.0f64, 1.0f64), |(low, high), speed| {
        (low.min(speed.floor()), high.max(speed.ceil()))
    });
    let x = |speed: f64| {
        LEFT + (speed.max(0.01).log10() - slowest) / (fastest - slowest) * (WIDTH - LEFT - RIGHT)
    };
    let y = |f: f64| TOP + (1.0 - f) * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\" role=\"img\" aria-label=\"Onset F-measure of each network against its speed\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
    );
    for tenth in 0..=5 {
        let f = f64::from(tenth) / 5.0;
        svg += &format!(
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#444444\">{f:.1}</text>\n",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y(f) + 4.0,
            y = y(f)
        );
    }
    for power in slowest as i32..=fastest as i32 {
        let at = x(10f64.powi(power));
        svg += &format!(
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{}\" stroke=\"#dddddd\"/><text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#444444\">{}x</text>\n",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 18.0,
            10f64.powi(power)
        );
    }
    svg += &format!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#222222\">times real time (faster to the right)</text>\n",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 10.0
    );
    svg += &format!(
        "<text x=\"14\" y=\"{0}\" text-anchor=\"middle\" fill=\"#222222\" transform=\"rotate(-90 14 {0})\">onset F-measure</text>\n",
        (TOP + HEIGHT - BOTTOM) / 2.0
    );
    for result in results {
        let (cx, cy) = (x(result.times_real_time), y(result.onset.mean));
        // Labels of points near the right edge stand to their left.
        let (label, anchor) = if cx > WIDTH * 0.7 {
            (cx - 10.0, "end")
        } else {
            (cx + 10.0, "start")
        };
        svg += &format!(
            "<line x1=\"{cx:.1}\" x2=\"{cx:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"#1f5fa8\" stroke-width=\"2\"/><circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"5\" fill=\"#1f5fa8\"/><text x=\"{label:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"#111111\">{}</text>\n",
            y(result.onset.low),
            y(result.onset.high),
            cy - 8.0,
            name(&result.model)
        );
    }
    svg + "</svg>\n"
}
