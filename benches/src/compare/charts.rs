//! The SVG charts of a comparison.

use std::error::Error as StdError;
use std::iter;
use std::ops::Range;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Error;

/// The bars of one row.
#[derive(Debug)]
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) bars: Vec<Bar>,
}

/// The value of one server in one row; `None` if the server failed.
#[derive(Debug)]
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) ours: bool,
    pub(super) value: Option<f64>,
}

/// The curve of one server.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) ours: bool,
    pub(super) points: Vec<(f64, f64)>,
}

const OURS: RGBColor = RGBColor(196, 70, 38);
const OTHERS: [RGBColor; 5] = [
    RGBColor(70, 110, 160),
    RGBColor(90, 140, 80),
    RGBColor(130, 95, 150),
    RGBColor(160, 130, 40),
    RGBColor(90, 90, 90),
];
const FONT: &str = "sans-serif";

const PANEL: i32 = 580;
const MARGIN: i32 = 16;
const BAR: i32 = 20;
const HEAD: i32 = 30;
/// The left edge of the bars, and the length of the longest bar. The value stands to its right.
const NAMES: i32 = 215;
const LENGTH: i32 = 240;

/// Draws the bars of each row, in two columns. A bar longer than ten times the shortest is cut off;
/// its label shows the value.
pub(super) fn bars(panels: &[Panel]) -> Result<String, Error> {
    draw_bars(panels).map_err(failed)
}

fn draw_bars(panels: &[Panel]) -> Result<String, Box<dyn StdError>> {
    let height = |panel: &Panel| HEAD + BAR * i32::try_from(panel.bars.len()).unwrap_or(0) + MARGIN;
    // Each panel goes into the shorter column.
    let mut ends = [MARGIN; 2];
    let mut places = Vec::new();
    for panel in panels {
        let column = usize::from(ends[1] < ends[0]);
        places.push((panel, if column == 0 { MARGIN } else { MARGIN + PANEL }, ends[column]));
        ends[column] += height(panel);
    }
    let size = (u32::try_from(2 * (PANEL + MARGIN))?, u32::try_from(ends[0].max(ends[1]))?);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        for (panel, x, y) in places {
            area.draw(&Text::new(
                panel.title.clone(),
                (x, y),
                (FONT, 14).into_font().style(FontStyle::Bold),
            ))?;
            let least = panel.bars.iter().filter_map(|bar| bar.value).fold(f64::INFINITY, f64::min);
            let most = panel.bars.iter().filter_map(|bar| bar.value).fold(0.0, f64::max).min(10.0 * least);
            for (bar, number) in panel.bars.iter().zip(0..) {
                draw_bar(&area, bar, (x, y + HEAD - 6 + BAR * number), most)?;
            }
        }
        area.present()?;
    }
    Ok(svg)
}

fn draw_bar<B: DrawingBackend>(
    area: &DrawingArea<B, plotters::coord::Shift>,
    bar: &Bar,
    (x, y): (i32, i32),
    most: f64,
) -> Result<(), Box<dyn StdError>>
where
    B::ErrorType: 'static,
{
    let middle = y + BAR / 2;
    let style = (FONT, 13).into_text_style(area).pos(Pos::new(HPos::Right, VPos::Center));
    area.draw(&Text::new(bar.name.clone(), (x + NAMES - 6, middle), style.clone()))?;
    let mut end = x + NAMES;
    let mut label = "failed".to_owned();
    if let Some(value) = bar.value {
        let cut = value > most;
        end += pixels(value.min(most) / most * f64::from(LENGTH));
        let color = if bar.ours { OURS } else { OTHERS[0] };
        area.draw(&Rectangle::new([(x + NAMES, y + 2), (end, y + BAR - 2)], color.filled()))?;
        if cut {
            area.draw(&Rectangle::new([(end - 10, y), (end - 6, y + BAR)], WHITE.filled()))?;
        }
        label = figure(value);
    }
    area.draw(&Text::new(label, (end + 6, middle), style.pos(Pos::new(HPos::Left, VPos::Center))))?;
    Ok(())
}

/// Draws curves on two logarithmic axes.
pub(super) fn lines(title: &str, axis: &str, lines: &[Line]) -> Result<String, Error> {
    draw_lines(title, axis, lines).map_err(failed)
}

fn draw_lines(title: &str, axis: &str, lines: &[Line]) -> Result<String, Box<dyn StdError>> {
    let points = || lines.iter().flat_map(|line| line.points.iter().copied());
    let (x, y) = (span(points().map(|(x, _)| x)), span(points().map(|(_, y)| y)));
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (900, 520)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, (FONT, 18))
            .margin(14)
            .x_label_area_size(44)
            .y_label_area_size(70)
            .build_cartesian_2d((x.start..x.end).log_scale(), (y.start / 2.0..y.end * 2.0).log_scale())?;
        chart
            .configure_mesh()
            .x_desc(axis)
            .y_desc("server CPU per message, µs")
            .label_style((FONT, 13))
            .light_line_style(BLACK.mix(0.04))
            .bold_line_style(BLACK.mix(0.12))
            .x_label_formatter(&|value| figure(*value))
            .y_label_formatter(&|value| figure(*value))
            .draw()?;
        // The legend goes where it covers no curve.
        let falls = lines
            .iter()
            .any(|line| line.points.first().zip(line.points.last()).is_some_and(|(a, b)| a.1 > b.1));
        let place = if falls { SeriesLabelPosition::UpperMiddle } else { SeriesLabelPosition::UpperLeft };
        let mut others = OTHERS.iter().cycle();
        for line in lines {
            let color = if line.ours { OURS } else { *others.next().unwrap_or(&OTHERS[0]) };
            let style = color.stroke_width(if line.ours { 3 } else { 2 });
            chart
                .draw_series(LineSeries::new(line.points.iter().copied(), style))?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
            chart.draw_series(line.points.iter().map(|point| Circle::new(*point, 3, color.filled())))?;
        }
        chart
            .configure_series_labels()
            .position(place)
            .label_font((FONT, 14))
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.2))
            .draw()?;
        area.present()?;
    }
    Ok(svg)
}

/// The range from the smallest to the largest positive value. It is never empty.
fn span(values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
    let values = values.filter(|value| *value > 0.0);
    let least = values.clone().fold(f64::INFINITY, f64::min);
    let most = values.chain(iter::once(0.0)).fold(0.0, f64::max);
    if least < most {
        least..most
    } else if most > 0.0 {
        most / 2.0..most * 2.0
    } else {
        1.0..10.0
    }
}

/// Formats a value with few digits, and with the prefix `k` or `M`.
fn figure(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.3}M", v / 1e6).replace(".000M", "M"),
        v if v >= 1e3 => format!("{:.1}k", v / 1e3).replace(".0k", "k"),
        v if v >= 10.0 => format!("{v:.1}").replace(".0", ""),
        v if v >= 1.0 => format!("{v:.2}").replace(".00", ""),
        v => format!("{v:.3}"),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a length in pixels")]
fn pixels(length: f64) -> i32 {
    length.round() as i32
}

fn failed(error: Box<dyn StdError>) -> Error {
    Error::Chart(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_charts_show_names_and_values() {
        let bar = |name: &str, value| Bar { name: name.into(), ours: name == "clws", value };
        let bars = vec![bar("clws", Some(1.25)), bar("slow", Some(500.0)), bar("gone", None)];
        let svg = super::bars(&[Panel { title: "echo".into(), bars }]).unwrap();
        for text in ["echo", "clws", "1.25", "500", "gone", "failed"] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        assert!(super::bars(&[]).is_ok());
    }

    #[test]
    fn line_charts_show_names() {
        let line = Line { name: "clws".into(), ours: true, points: vec![(1.0, 5.0), (10_000.0, 7.0)] };
        assert!(lines("echo", "connections", &[line]).unwrap().contains("clws"));
        let point = Line { name: "clws".into(), ours: true, points: vec![(1.0, 5.0)] };
        assert!(lines("echo", "connections", &[point]).is_ok());
        assert!(lines("echo", "connections", &[]).is_ok());
    }

    #[test]
    fn figures_are_short() {
        let shown = [0.1234, 1.0, 1.256, 25.0, 10_000.0, 16_777_216.0].map(figure);
        assert_eq!(shown, ["0.123", "1", "1.26", "25", "10k", "16.777M"]);
    }
}
