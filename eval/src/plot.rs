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
    let points: Vec<(f64, f64)> = results
        .iter()
        .map(|result| (x(result.times_real_time), y(result.onset.mean)))
        .collect();
    let mut taken: Vec<Area> = points
        .iter()
        .map(|(cx, cy)| Area::around(*cx, *cy))
        .collect();
    for (result, (cx, cy)) in results.iter().zip(&points) {
        let text = name(&result.model);
        let label = Area::beside(*cx, *cy, text, &taken);
        svg += &format!(
            "<line x1=\"{cx:.1}\" x2=\"{cx:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"#1f5fa8\" stroke-width=\"2\"/><circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"5\" fill=\"#1f5fa8\"/><text x=\"{:.1}\" y=\"{:.1}\" fill=\"#111111\">{text}</text>\n",
            y(result.onset.low),
            y(result.onset.high),
            label.left,
            label.bottom - 4.0
        );
        taken.push(label);
    }
    svg + "</svg>\n"
}

/// What a point or a label covers.
#[derive(Clone, Copy)]
struct Area {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Area {
    const LETTER_WIDTH: f64 = 7.4;
    const LINE_HEIGHT: f64 = 17.0;

    fn around(cx: f64, cy: f64) -> Area {
        Area {
            left: cx - 7.0,
            right: cx + 7.0,
            top: cy - 7.0,
            bottom: cy + 7.0,
        }
    }

    /// The first place around a point where its label covers nothing and stays within the drawing.
    fn beside(cx: f64, cy: f64, text: &str, taken: &[Area]) -> Area {
        let width = text.chars().count() as f64 * Self::LETTER_WIDTH;
        let rows = [0.0, -18.0, 18.0, -34.0, 34.0];
        let places = rows
            .iter()
            .flat_map(|row| [(cx + 11.0, *row), (cx - 11.0 - width, *row)]);
        let boxes: Vec<Area> = places
            .map(|(left, row)| {
                let middle = cy + row;
                Area {
                    left,
                    right: left + width,
                    top: middle - Self::LINE_HEIGHT / 2.0,
                    bottom: middle + Self::LINE_HEIGHT / 2.0,
                }
            })
            .collect();
        let free = |place: &&Area| {
            place.left > LEFT
                && place.right < WIDTH
                && place.top > 0.0
                && !taken.iter().any(|other| {
                    place.left < other.right
                        && other.left < place.right
                        && place.top < other.bottom
                        && other.top < place.bottom
                })
        };
        boxes.iter().find(free).copied().unwrap_or(boxes[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_points_that_lie_together_do_not_cover_each_other() {
        let mut taken = vec![
            Area::around(400.0, 100.0),
            Area::around(405.0, 110.0),
            Area::around(410.0, 95.0),
        ];
        for (cx, cy) in [(400.0, 100.0), (405.0, 110.0), (410.0, 95.0)] {
            let label = Area::beside(cx, cy, "harmonica:medium", &taken);
            let covered = taken.iter().any(|other| {
                label.left < other.right
                    && other.left < label.right
                    && label.top < other.bottom
                    && other.top < label.bottom
            });
            assert!(!covered);
            taken.push(label);
        }
    }
}
