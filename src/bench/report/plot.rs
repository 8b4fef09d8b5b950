//! Plots as SVG, made here: a page that needs nothing from anywhere.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 280.0;
/// Room for the labels of the axes.
const LEFT: f64 = 72.0;
const RIGHT: f64 = 26.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;
/// About how many steps a linear axis has.
const STEPS: f64 = 5.0;
/// Colours there are, in the style sheet of the page.
pub(super) const COLOURS: usize = 8;

/// How values are laid out along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    Linear,
    /// Linear as well, and ends where the last value is.
    Time,
    Log,
    /// Percentiles: each nine of 90, 99, 99.9 takes as much room as the one before.
    Nines,
}

/// One axis.
pub(super) struct Axis {
    pub(super) title: &'static str,
    pub(super) scale: Scale,
    pub(super) label: fn(f64) -> String,
}

/// One line.
pub(super) struct Line {
    pub(super) colour: usize,
    pub(super) is_dashed: bool,
    pub(super) points: Vec<(f64, f64)>,
}

struct Range {
    scale: Scale,
    low: f64,
    high: f64,
}

impl Range {
    fn of(scale: Scale, values: impl Iterator<Item = f64> + Clone) -> Self {
        let values = values.filter(|value| value.is_finite());
        let max = values.clone().fold(f64::MIN, f64::max);
        let min = values.fold(f64::MAX, f64::min);
        let (low, high) = match scale {
            Scale::Linear | Scale::Time if max <= 0.0 => (0.0, 1.0),
            Scale::Linear => {
                let step = nice_above(max / STEPS);
                (0.0, (max / step).ceil() * step)
            }
            Scale::Time => (0.0, max),
            Scale::Log if max > 0.0 => {
                let low = 10f64.powf(min.max(1.0).log10().floor());
                (low, 10f64.powf(max.log10().ceil()).max(low * 10.0))
            }
            Scale::Log => (1.0, 10.0),
            Scale::Nines => (0.0, 99.99),
        };
        Self { scale, low, high }
    }

    /// From 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let nines = |percentile: f64| -(1.0 - (percentile / 100.0).min(0.9999)).log10() / 4.0;
        match self.scale {
            Scale::Linear | Scale::Time => (value - self.low) / (self.high - self.low),
            Scale::Log => (value.max(self.low) / self.low).log10() / (self.high / self.low).log10(),
            Scale::Nines => nines(value),
        }
        .clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear | Scale::Time => {
                let step = nice_above(self.high / STEPS);
                let count = (self.high / step + 1e-9) as u32;
                (0..=count).map(|at| f64::from(at) * step).collect()
            }
            Scale::Log => {
                let decades = (self.high / self.low).log10().round() as i32;
                (0..=decades).map(|decade| self.low * 10f64.powi(decade)).collect()
            }
            Scale::Nines => vec![0.0, 50.0, 90.0, 99.0, 99.9, 99.99],
        }
    }
}

/// The next of 1, 2, 2.5 and 5 with zeros.
fn nice_above(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0]
        .map(|step| step * power)
        .into_iter()
        .find(|nice| *nice >= value * 0.999_999)
        .unwrap_or(value)
}

/// Lines over two axes.
pub(super) fn lines(title: &str, x: &Axis, y: &Axis, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| line.points.iter());
    let across = Range::of(x.scale, points().map(|point| point.0));
    let up = Range::of(y.scale, points().map(|point| point.1));
    let at = |(px, py): (f64, f64)| {
        let px = LEFT + across.place(px) * (WIDTH - LEFT - RIGHT);
        (px, HEIGHT - BOTTOM - up.place(py) * (HEIGHT - TOP - BOTTOM))
    };
    let mut svg = open(title);
    for tick in up.ticks() {
        let (_, py) = at((across.low, tick));
        let end = WIDTH - RIGHT;
        let _ = write!(svg, "<path class=grid d='M{LEFT} {py:.1}H{end}'/>");
        text(&mut svg, (LEFT - 8.0, py + 4.0), "end", &(y.label)(tick));
    }
    for tick in across.ticks() {
        let (px, _) = at((tick, up.low));
        let _ = write!(svg, "<path class=grid d='M{px:.1} {TOP}V{}'/>", HEIGHT - BOTTOM);
        text(&mut svg, (px, HEIGHT - BOTTOM + 16.0), "middle", &(x.label)(tick));
    }
    text(&mut svg, ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 8.0), "middle", x.title);
    for line in lines.iter().filter(|line| !line.points.is_empty()) {
        let mut path = String::new();
        for (number, point) in line.points.iter().enumerate() {
            let (px, py) = at(*point);
            let _ = write!(path, "{}{px:.1} {py:.1}", if number == 0 { 'M' } else { 'L' });
        }
        let dashed = if line.is_dashed { " dashed" } else { "" };
        let _ = write!(svg, "<path class='line c{}{dashed}' d='{path}'/>", line.colour % COLOURS);
    }
    svg + "</svg>"
}

/// A bar for each value, with its name before and its label behind it.
pub(super) fn bars(title: &str, bars: &[(String, f64, String)]) -> String {
    const ROW: f64 = 30.0;
    const NAMES: f64 = 190.0;
    const LABELS: f64 = 110.0;
    let max = bars.iter().map(|bar| bar.1).fold(f64::MIN_POSITIVE, f64::max);
    let height = ROW * bars.len() as f64 + 8.0;
    let mut svg =
        format!("<svg viewBox='0 0 {WIDTH} {height}' role=img><title>{}</title>", escape(title));
    for (at, (name, value, label)) in bars.iter().enumerate() {
        let top = 4.0 + ROW * at as f64;
        let width = (value / max * (WIDTH - NAMES - LABELS)).max(1.0);
        text(&mut svg, (NAMES - 10.0, top + 18.0), "end", &shortened(name));
        let colour = at % COLOURS;
        let _ = write!(
            svg,
            "<rect class='bar c{colour}' x={NAMES} y={} width={width:.1} height={} rx=3 />",
            top + 4.0,
            ROW - 10.0
        );
        text(&mut svg, (NAMES + width + 8.0, top + 18.0), "start", label);
    }
    svg + "</svg>"
}

fn shortened(name: &str) -> String {
    // As many as there is room for in front of a bar, on paper too, where letters are larger.
    const LETTERS_MAX: usize = 21;
    match name.char_indices().nth(LETTERS_MAX) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

fn open(title: &str) -> String {
    format!("<svg viewBox='0 0 {WIDTH} {HEIGHT}' role=img><title>{}</title>", escape(title))
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    // Writing to a String cannot fail.
    let _ = write!(svg, "<text x={x:.1} y={y:.1} text-anchor={anchor}>{}</text>", escape(text));
}

/// For text and for attributes in any quotes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_between_the_ends() {
        let linear = Range::of(Scale::Linear, [3.0, 17.0].into_iter());
        assert_eq!((linear.low, linear.high, linear.place(10.0)), (0.0, 20.0, 0.5));
        let log = Range::of(Scale::Log, [20.0, 900.0].into_iter());
        assert_eq!((log.low, log.high), (10.0, 1_000.0));
        assert!((log.place(100.0) - 0.5).abs() < 1e-9);
        assert_eq!(log.ticks().len(), 3);
        let nines = Range::of(Scale::Nines, [].into_iter());
        assert!((nines.place(99.0) - 0.5).abs() < 1e-9 && nines.place(100.0) == 1.0);
        for scale in [Scale::Linear, Scale::Time, Scale::Log] {
            let empty = Range::of(scale, [].into_iter());
            assert!(empty.place(5.0).is_finite() && empty.ticks().len() < 20);
        }
    }

    #[test]
    fn names_cannot_become_markup() {
        let svg = bars("<t>", &[("<script>'\"&".to_owned(), 1.0, "<b>".to_owned())]);
        assert!(!svg.contains("<script") && !svg.contains("<b>") && !svg.contains("<t>"), "{svg}");
    }
}
