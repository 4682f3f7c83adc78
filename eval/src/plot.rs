//! Quality against speed, as an SVG: each network a point with its interval, hollow where its speed is of another day or machine.
//! Pure.

use crate::row::{Row, name};
use crate::session::Session;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 52.0;

pub(crate) fn svg(rows: &[Row], session: &Session) -> String {
    let speeds = rows.iter().map(|row| row.times_real_time.max(0.01).log10());
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
    let hollow = if rows.iter().all(|row| row.measured.comparable(session)) {
        ""
    } else {
        "; hollow: speed of another day or machine"
    };
    svg += &format!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#222222\">times real time (faster to the right{hollow})</text>\n",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 10.0
    );
    svg += &format!(
        "<text x=\"14\" y=\"{0}\" text-anchor=\"middle\" fill=\"#222222\" transform=\"rotate(-90 14 {0})\">onset F-measure</text>\n",
        (TOP + HEIGHT - BOTTOM) / 2.0
    );
    let points: Vec<(f64, f64)> = rows
        .iter()
        .map(|row| (x(row.times_real_time), y(row.onset.mean)))
        .collect();
    let mut taken: Vec<Area> = rows
        .iter()
        .zip(&points)
        .map(|(row, (cx, _))| Area::around(*cx, y(row.onset.high), y(row.onset.low)))
        .collect();
    for (row, (cx, cy)) in rows.iter().zip(&points) {
        let text = name(&row.label);
        let fill = if row.measured.comparable(session) {
            "#1f5fa8"
        } else {
            "#ffffff"
        };
        let label = Area::beside(*cx, *cy, text, &taken);
        if let Some((leader_x, leader_y)) = label.leader(*cx, *cy) {
            svg += &format!(
                "<line x1=\"{cx:.1}\" x2=\"{leader_x:.1}\" y1=\"{cy:.1}\" y2=\"{leader_y:.1}\" stroke=\"#888888\"/>\n"
            );
        }
        svg += &format!(
            "<line x1=\"{cx:.1}\" x2=\"{cx:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"#1f5fa8\" stroke-width=\"2\"/><circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"5\" fill=\"{fill}\" stroke=\"#1f5fa8\" stroke-width=\"2\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#111111\">{text}</text>\n",
            y(row.onset.low),
            y(row.onset.high),
            (label.left + label.right) / 2.0,
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
    const LETTER_WIDTH: f64 = 7.9;
    const LINE_HEIGHT: f64 = 17.0;
    /// From a point to the label that is plainly its own.
    const NEAR: f64 = 11.0;

    /// A point with its interval.
    fn around(cx: f64, top: f64, bottom: f64) -> Area {
        Area {
            left: cx - 7.0,
            right: cx + 7.0,
            top: top.min((top + bottom) / 2.0 - 7.0),
            bottom: bottom.max((top + bottom) / 2.0 + 7.0),
        }
    }

    /// The first place around a point where its label covers nothing and stays within the drawing: at its side, above, below, then farther off.
    fn beside(cx: f64, cy: f64, text: &str, taken: &[Area]) -> Area {
        let width = text.chars().count() as f64 * Self::LETTER_WIDTH;
        let place = |left: f64, row: f64| Area {
            left,
            right: left + width,
            top: cy + row - Self::LINE_HEIGHT / 2.0,
            bottom: cy + row + Self::LINE_HEIGHT / 2.0,
        };
        let (right, left, middle) = (cx + Self::NEAR, cx - Self::NEAR - width, cx - width / 2.0);
        let mut places = vec![place(right, 0.0), place(left, 0.0)];
        for step in 2..16 {
            for row in [f64::from(-step) * 9.0, f64::from(step) * 9.0] {
                places.extend([middle, right, left].map(|at| place(at, row)));
            }
        }
        let within = |place: &Area| place.left > LEFT && place.right < WIDTH && place.top > 0.0;
        places
            .iter()
            .find(|place| within(place) && !taken.iter().any(|other| place.covers(other)))
            .copied()
            .unwrap_or(places[0])
    }

    fn covers(&self, other: &Area) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    /// Where a line from the point ends that says whose label this is; none where it lies right beside the point.
    fn leader(&self, cx: f64, cy: f64) -> Option<(f64, f64)> {
        let at = (
            cx.clamp(self.left, self.right),
            cy.clamp(self.top + 2.0, self.bottom - 2.0),
        );
        ((at.0 - cx).hypot(at.1 - cy) > Self::NEAR + 1.0).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The networks as they lay once: four within 40 points of height, two of them slow.
    const POINTS: [(f64, f64, &str); 8] = [
        (571.0, 299.0, "spectral peaks (baseline)"),
        (606.0, 118.0, "basic-pitch"),
        (511.0, 67.0, "harmonica:nano"),
        (505.0, 50.0, "harmonica:small"),
        (385.0, 52.0, "harmonica:medium"),
        (283.0, 50.0, "harmonica:large"),
        (145.0, 52.0, "harmonica:x-large"),
        (209.0, 68.0, "transkun"),
    ];

    #[test]
    fn labels_cover_neither_each_other_nor_a_point_and_are_led_to_theirs() {
        let mut taken: Vec<Area> = POINTS
            .iter()
            .map(|(cx, cy, _)| Area::around(*cx, cy - 10.0, cy + 10.0))
            .collect();
        for (cx, cy, text) in POINTS {
            let label = Area::beside(cx, cy, text, &taken);
            assert!(!taken.iter().any(|other| label.covers(other)), "{text}");
            assert!(label.left > LEFT && label.right < WIDTH, "{text}");
            let (near_x, near_y) = label.leader(cx, cy).unwrap_or((cx, cy));
            let reached = (near_x - cx).hypot(near_y - cy);
            // Nobody else's point is as near to a label without a line.
            for (other_x, other_y, other) in POINTS.iter().filter(|point| point.2 != text) {
                let gap = (other_x.clamp(label.left, label.right) - other_x)
                    .hypot(other_y.clamp(label.top, label.bottom) - other_y);
                assert!(reached > 0.0 || gap > 7.0, "{text} beside {other}");
            }
            taken.push(label);
        }
    }
}
