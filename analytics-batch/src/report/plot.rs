//! Plots, as SVG within the page: made of the tables' cells, so they show nothing that the tables do not.
//!
//! Axes are honest: bars begin at zero, shares end at 0 and 100 %, and the one axis that is not linear says so.

use std::fmt::Write;

use super::html::{Escaped, duration, grouped};
use super::table::{Cell, Table};

/// A plot, and what it says to who cannot see it.
pub(super) struct Plot {
    /// Unique on the page.
    pub(super) id: &'static str,
    pub(super) title: String,
    pub(super) description: String,
    width: f64,
    height: f64,
    body: String,
}

impl Plot {
    fn new(id: &'static str, title: impl Into<String>, width: f64, height: f64) -> Self {
        Self {
            id,
            title: title.into(),
            description: String::new(),
            width,
            height,
            body: String::new(),
        }
    }

    pub(super) fn svg(&self) -> String {
        let Self {
            id,
            title,
            description,
            width,
            height,
            body,
        } = self;
        format!(
            "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{id}-title {id}-text\">\
             <title id=\"{id}-title\">{}</title><desc id=\"{id}-text\">{}</desc>\n{body}</svg>",
            Escaped(title),
            Escaped(description)
        )
    }

    fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.push(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    fn label(&mut self, class: &str, at: (f64, f64), text: &str) {
        self.push(format_args!(
            "<text class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            at.0,
            at.1,
            Escaped(text)
        ));
    }

    fn bar(&mut self, class: &str, corner: (f64, f64), size: (f64, f64), says: &str) {
        self.push(format_args!(
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}</title></rect>",
            corner.0,
            corner.1,
            size.0,
            size.1,
            Escaped(says)
        ));
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.body, "{element}").expect("a string takes everything");
    }
}

/// Maps seconds to the logarithmic axis of the waiting curve.
const WAIT_FROM_S: f64 = 1.0;
const WAIT_TO_S: f64 = 3_600.0;
const WAIT_TICKS: [(f64, &str); 9] = [
    (1.0, "1 s"),
    (3.0, "3 s"),
    (10.0, "10 s"),
    (30.0, "30 s"),
    (60.0, "1 min"),
    (180.0, "3 min"),
    (600.0, "10 min"),
    (1_800.0, "30 min"),
    (3_600.0, "60 min"),
];

/// How long alerts wait: the curve of Kaplan and Meier with its 95 % band.
pub(super) fn waiting(table: &Table, median: Option<f64>) -> Plot {
    const LEFT: f64 = 52.0;
    const RIGHT: f64 = 700.0;
    const TOP: f64 = 16.0;
    const BOTTOM: f64 = 262.0;
    let x = |seconds: f64| {
        let seconds = seconds.clamp(WAIT_FROM_S, WAIT_TO_S);
        LEFT + (RIGHT - LEFT) * (seconds / WAIT_FROM_S).ln() / (WAIT_TO_S / WAIT_FROM_S).ln()
    };
    let y = |share: f64| BOTTOM - (BOTTOM - TOP) * share;
    let mut plot = Plot::new(
        "waiting",
        "Share of alerts that still wait for a first accept",
        720.0,
        306.0,
    );
    for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
        plot.line(
            if share == 0.0 { "axis" } else { "grid" },
            (LEFT, y(share)),
            (RIGHT, y(share)),
        );
        plot.label(
            "tick end",
            (LEFT - 8.0, y(share) + 4.0),
            &format!("{:.0} %", share * 100.0),
        );
    }
    for (seconds, name) in WAIT_TICKS {
        plot.line("axis", (x(seconds), BOTTOM), (x(seconds), BOTTOM + 5.0));
        plot.label("tick middle", (x(seconds), BOTTOM + 20.0), name);
    }
    plot.label(
        "tick end",
        (RIGHT, BOTTOM + 38.0),
        "time since the call, on a logarithmic scale",
    );
    let steps = waiting_steps(table);
    let band = band_path(&steps, &x, &y);
    plot.push(format_args!("<path class=\"band\" d=\"{band}\"/>"));
    let curve = step_path(
        steps.iter().map(|step| (step.seconds, step.waiting)),
        &x,
        &y,
    );
    plot.push(format_args!("<path class=\"curve\" d=\"{curve}\"/>"));
    if let Some(median) = median {
        plot.line("mark", (x(median), y(0.5)), (x(median), BOTTOM));
        plot.push(format_args!(
            "<circle class=\"dot\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\"/>",
            x(median),
            y(0.5)
        ));
        plot.label(
            "note",
            (x(median) + 9.0, y(0.5) - 8.0),
            &format!("half accepted after {}", duration(median)),
        );
    }
    plot.description = waiting_description(&steps);
    plot
}

struct WaitingStep {
    seconds: f64,
    waiting: f64,
    low: f64,
    high: f64,
}

/// The rows that may be shown. Where the method gives no band, it is as thin as the curve.
fn waiting_steps(table: &Table) -> Vec<WaitingStep> {
    let columns = ["after_s", "waiting", "low", "high"].map(|name| table.column(name));
    let step = |row: &Vec<Cell>| {
        let [seconds, waiting, low, high] = columns.map(|column| row[column].number());
        let waiting = waiting?;
        Some(WaitingStep {
            seconds: seconds?,
            waiting,
            low: low.unwrap_or(waiting),
            high: high.unwrap_or(waiting),
        })
    };
    table.rows.iter().filter_map(step).collect()
}

/// Level until the next point, and no further than the last: what comes then may be withheld.
fn step_path(
    points: impl Iterator<Item = (f64, f64)>,
    x: &dyn Fn(f64) -> f64,
    y: &dyn Fn(f64) -> f64,
) -> String {
    let mut path = String::new();
    let mut level = None;
    for (seconds, share) in points {
        match level {
            None => path += &format!("M{:.1} {:.1}", x(seconds), y(share)),
            Some(_) => path += &format!("H{:.1}V{:.1}", x(seconds), y(share)),
        }
        level = Some(share);
    }
    path
}

/// The upper edge from left to right, then the lower edge back.
fn band_path(steps: &[WaitingStep], x: &dyn Fn(f64) -> f64, y: &dyn Fn(f64) -> f64) -> String {
    let mut path = step_path(steps.iter().map(|step| (step.seconds, step.high)), x, y);
    let mut right = steps.last().map_or(WAIT_TO_S, |step| step.seconds);
    for step in steps.iter().rev() {
        path += &format!(
            "L{:.1} {:.1}L{:.1} {:.1}",
            x(right),
            y(step.low),
            x(step.seconds),
            y(step.low)
        );
        right = step.seconds;
    }
    if !path.is_empty() {
        path.push('Z');
    }
    path
}

fn waiting_description(steps: &[WaitingStep]) -> String {
    let at = |seconds: f64| steps.iter().find(|step| step.seconds == seconds);
    let told = [
        (10.0, "10 seconds"),
        (60.0, "one minute"),
        (300.0, "five minutes"),
        (3_600.0, "one hour"),
    ];
    let parts: Vec<String> = told
        .into_iter()
        .filter_map(|(seconds, name)| {
            Some(format!(
                "{:.0} % after {name}",
                at(seconds)?.waiting * 100.0
            ))
        })
        .collect();
    if parts.is_empty() {
        return "There are too few alerts for a curve.".to_owned();
    }
    format!("Still waiting: {}.", parts.join(", "))
}

/// Calls by hour and weekday, as often as the hour occurred.
pub(super) fn hours(table: &Table) -> Plot {
    const LEFT: f64 = 44.0;
    const TOP: f64 = 8.0;
    const WIDE: f64 = 27.0;
    const HIGH: f64 = 24.0;
    let column = |name| table.column(name);
    let (weekday, hour, alerts, rate) = (
        column("weekday"),
        column("hour"),
        column("alerts"),
        column("alerts_per_occurrence"),
    );
    let most = table
        .rows
        .iter()
        .filter_map(|row| row[rate].number())
        .fold(0.0, f64::max);
    let mut plot = Plot::new(
        "hours",
        "Calls by hour of the day and day of the week",
        720.0,
        236.0,
    );
    for (index, row) in table.rows.iter().enumerate() {
        let (x, y) = (
            LEFT + WIDE * (index % 24) as f64,
            TOP + HIGH * (index / 24) as f64,
        );
        let (Cell::Text(day), Some(hour)) = (&row[weekday], row[hour].number()) else {
            continue;
        };
        if index % 24 == 0 {
            plot.label("tick end", (LEFT - 8.0, y + 16.0), day);
        }
        let (class, says) = match (row[alerts].number(), row[rate].number()) {
            (Some(alerts), Some(rate)) => (
                format!("heat h{}", heat(rate, most)),
                format!("{day} {hour:02}:00: {alerts} calls, {rate:.3} per occurrence"),
            ),
            (Some(alerts), None) => (
                "heat h0".to_owned(),
                format!("{day} {hour:02}:00: {alerts} calls"),
            ),
            (None, _) => (
                "heat hidden".to_owned(),
                format!("{day} {hour:02}:00: withheld"),
            ),
        };
        plot.bar(&class, (x, y), (WIDE - 2.0, HIGH - 2.0), &says);
    }
    for hour in (0..24).step_by(3) {
        let x = LEFT + WIDE * f64::from(hour) + (WIDE - 2.0) / 2.0;
        plot.label(
            "tick middle",
            (x, TOP + 7.0 * HIGH + 14.0),
            &format!("{hour:02}"),
        );
    }
    hours_legend(&mut plot, most, TOP + 7.0 * HIGH + 34.0);
    plot.description = hours_description(table, weekday, hour, rate);
    plot
}

/// How many shades there are besides "none".
const SHADES: u32 = 5;

fn heat(rate: f64, most: f64) -> u32 {
    if rate <= 0.0 {
        return 0;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "1 to SHADES"
    )]
    let shade = (rate / most * f64::from(SHADES)).ceil() as u32;
    shade.clamp(1, SHADES)
}

fn hours_legend(plot: &mut Plot, most: f64, y: f64) {
    let mut x = 44.0;
    plot.label("tick", (x, y + 11.0), "calls per occurrence:");
    x += 140.0;
    let shades = if 0.0 < most { SHADES } else { 0 };
    for shade in 0..=shades {
        plot.bar(&format!("heat h{shade}"), (x, y), (20.0, 14.0), "");
        let to = most * f64::from(shade) / f64::from(SHADES);
        let name = if shade == 0 {
            "0".to_owned()
        } else {
            format!("≤ {}", short(to))
        };
        plot.label("tick", (x + 24.0, y + 11.0), &name);
        x += 74.0;
    }
    plot.bar("heat hidden", (x, y), (20.0, 14.0), "");
    plot.label("tick", (x + 24.0, y + 11.0), "withheld");
}

fn short(number: f64) -> String {
    if number < 0.095 {
        format!("{number:.3}")
    } else {
        format!("{number:.2}")
    }
}

fn hours_description(table: &Table, weekday: usize, hour: usize, rate: usize) -> String {
    let mut busiest: Vec<(f64, String)> = Vec::new();
    for row in &table.rows {
        if let (Cell::Text(day), Some(hour), Some(rate)) =
            (&row[weekday], row[hour].number(), row[rate].number())
        {
            busiest.push((rate, format!("{day} {hour:02}:00")));
        }
    }
    busiest.sort_by(|left, right| right.0.total_cmp(&left.0));
    let named: Vec<&str> = busiest
        .iter()
        .filter(|(rate, _)| 0.0 < *rate)
        .take(3)
        .map(|(_, name)| name.as_str())
        .collect();
    if named.is_empty() {
        return "No hour has enough calls to be told.".to_owned();
    }
    format!("Most calls come in the hours from {}.", named.join(", "))
}

/// Calls over time. `unit` is the word for one period.
pub(super) fn trend(table: &Table, unit: &str) -> Plot {
    const LEFT: f64 = 52.0;
    const RIGHT: f64 = 700.0;
    const TOP: f64 = 22.0;
    const BOTTOM: f64 = 212.0;
    let column = |name| table.column(name);
    let (first, partial, alerts, unaccepted) = (
        column("first_day"),
        column("partial"),
        column("alerts"),
        column("unaccepted"),
    );
    let most = table
        .rows
        .iter()
        .filter_map(|row| row[alerts].number())
        .fold(0.0, f64::max);
    let (top, step) = nice_axis(most);
    let y = |count: f64| BOTTOM - (BOTTOM - TOP) * count / top;
    let mut plot = Plot::new("trend", format!("Calls {unit} by {unit}"), 720.0, 272.0);
    let mut tick = 0.0;
    while tick <= top {
        plot.line(
            if tick == 0.0 { "axis" } else { "grid" },
            (LEFT, y(tick)),
            (RIGHT, y(tick)),
        );
        plot.label(
            "tick end",
            (LEFT - 8.0, y(tick) + 4.0),
            &format!("{tick:.0}"),
        );
        tick += step;
    }
    let wide = (RIGHT - LEFT) / table.rows.len().max(1) as f64;
    let gap = if wide < 4.0 {
        0.0
    } else {
        (wide * 0.2).min(6.0)
    };
    let labels_every = table.rows.len().div_ceil(8).max(1);
    for (index, row) in table.rows.iter().enumerate() {
        let x = LEFT + wide * index as f64 + gap / 2.0;
        let Cell::Text(day) = &row[first] else {
            continue;
        };
        let is_partial = row[partial] == Cell::Flag(true);
        trend_bar(
            &mut plot,
            (x, wide - gap),
            &y,
            BOTTOM,
            day,
            is_partial,
            (&row[alerts], &row[unaccepted]),
        );
        if index % labels_every == 0 {
            plot.label("tick", (x, BOTTOM + 16.0), day);
        }
    }
    let whole: Vec<f64> = table
        .rows
        .iter()
        .filter(|row| row[partial] != Cell::Flag(true))
        .filter_map(|row| row[alerts].number())
        .collect();
    let complete = table
        .rows
        .iter()
        .filter(|row| row[partial] != Cell::Flag(true))
        .count();
    let mut says = format!("{} {unit}s are shown.", table.rows.len());
    if !whole.is_empty() && whole.len() == complete {
        let mean = whole.iter().sum::<f64>() / whole.len() as f64;
        plot.line("mean", (LEFT, y(mean)), (RIGHT, y(mean)));
        plot.label(
            "note end",
            (RIGHT, TOP - 9.0),
            &format!("dashed: mean of complete {unit}s, {mean:.1}"),
        );
        says += &format!(" A complete {unit} has {mean:.1} calls on average.");
    }
    trend_legend(&mut plot, LEFT, BOTTOM + 36.0);
    plot.description = says;
    plot
}

fn trend_bar(
    plot: &mut Plot,
    (x, wide): (f64, f64),
    y: &dyn Fn(f64) -> f64,
    bottom: f64,
    day: &str,
    is_partial: bool,
    (alerts, unaccepted): (&Cell, &Cell),
) {
    /// Tall enough to be seen, and not a count.
    const STUB: f64 = 8.0;
    let note = if is_partial { ", in part" } else { "" };
    let Some(count) = alerts.number() else {
        plot.bar(
            "hidden",
            (x, bottom - STUB),
            (wide, STUB),
            &format!("{day}{note}: withheld"),
        );
        return;
    };
    let class = if is_partial { "bar part" } else { "bar" };
    plot.bar(
        class,
        (x, y(count)),
        (wide, bottom - y(count)),
        &format!("{day}{note}: {count} calls"),
    );
    if *unaccepted == Cell::Withheld {
        plot.bar(
            "hidden",
            (x, bottom - STUB),
            (wide, STUB),
            &format!("{day}{note}: not accepted withheld"),
        );
    }
    if let Some(unaccepted) = unaccepted.number().filter(|unaccepted| 0.0 < *unaccepted) {
        let says = format!("{day}{note}: {unaccepted} not accepted within the hour");
        plot.bar(
            "bar bad",
            (x, y(unaccepted)),
            (wide, bottom - y(unaccepted)),
            &says,
        );
    }
}

fn trend_legend(plot: &mut Plot, left: f64, y: f64) {
    let entries = [
        ("bar", "calls"),
        ("bar bad", "of them not accepted within the hour"),
        ("bar part", "watched in part"),
        ("hidden", "withheld"),
    ];
    let mut x = left;
    for (class, name) in entries {
        plot.bar(class, (x, y), (14.0, 14.0), "");
        plot.label("tick", (x + 20.0, y + 11.0), name);
        x += 46.0 + 6.4 * name.len() as f64;
    }
}

/// The end of an axis that holds `most`, and the step between its ticks: 1, 2 or 5 times a power of ten.
fn nice_axis(most: f64) -> (f64, f64) {
    let raw = (most / 4.0).max(1.0);
    let power = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| raw <= *step)
        .unwrap_or(raw);
    ((most / step).ceil().max(1.0) * step, step)
}

/// Bars that lie, one for each row: its first cell is the name, `column` the count.
pub(super) fn bars(id: &'static str, title: &str, rows: &[&[Cell]], column: usize) -> Plot {
    const LEFT: f64 = 150.0;
    const LONG: f64 = 480.0;
    const HIGH: f64 = 28.0;
    let most = rows
        .iter()
        .filter_map(|row| row[column].number())
        .fold(1.0, f64::max);
    let mut plot = Plot::new(id, title, 720.0, HIGH * rows.len() as f64 + 8.0);
    let mut told = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let y = 4.0 + HIGH * index as f64;
        let Cell::Text(name) = &row[0] else { continue };
        plot.label("name end", (LEFT - 10.0, y + 18.0), name);
        match &row[column] {
            Cell::Count(count) => {
                let long = LONG * *count as f64 / most;
                plot.bar(
                    "bar",
                    (LEFT, y + 3.0),
                    (long.max(1.0), HIGH - 8.0),
                    &format!("{name}: {count}"),
                );
                plot.label("name", (LEFT + long + 8.0, y + 18.0), &grouped(*count));
                told.push(format!("{name}: {}", grouped(*count)));
            }
            _ => {
                plot.bar(
                    "hidden",
                    (LEFT, y + 3.0),
                    (24.0, HIGH - 8.0),
                    &format!("{name}: withheld"),
                );
                plot.label("name muted", (LEFT + 32.0, y + 18.0), "withheld");
                told.push(format!("{name}: withheld"));
            }
        }
    }
    plot.description = format!("{}.", told.join("; "));
    plot
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_above_its_largest_value_in_round_steps() {
        assert_eq!(
            [0.0, 3.0, 17.0, 950.0].map(nice_axis),
            [(1.0, 1.0), (3.0, 1.0), (20.0, 5.0), (1_000.0, 500.0)]
        );
    }

    #[test]
    fn a_bar_that_is_withheld_has_no_length_of_its_own() {
        let rows = [
            vec![Cell::text("a"), Cell::Count(9)],
            vec![Cell::text("b"), Cell::Withheld],
        ];
        let rows: Vec<&[Cell]> = rows.iter().map(Vec::as_slice).collect();
        let plot = bars("bars", "t", &rows, 1);
        assert_eq!(plot.description, "a: 9; b: withheld.");
        assert!(plot.svg().contains("class=\"hidden\""));
    }
}
