//! The making of the tables: figures become cells, and what the edition may not show is withheld here and nowhere else.

use std::collections::BTreeMap;

use event_model::EventTime;

use super::disclosure::{Edition, PublishedCount};
use super::scope::Scope;
use super::table::{Cell, Table};
use crate::case_builder::{GatheredCases, Intake, LineCases};
use crate::category::Category;
use crate::stats::{
    Case, Figures, Grain, Interval, Percentiles, Period, SHARES_WITHIN_MS, Survival, by_hour,
    figures, median, percentile, trend, wilson,
};

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// The tables of one folder, in the order of the page.
pub(super) fn tables(scope: &Scope<'_>) -> Vec<Table> {
    let figures = figures(&scope.cases, scope.as_of);
    let survival = &scope.survival;
    let mut tables = vec![
        summary(scope, &figures),
        percentiles(scope.edition, &figures, survival, scope.all_alerts),
        waiting(scope.edition, survival, scope.all_alerts),
        hours(scope),
        categories(scope.edition, &figures),
        responders(scope.edition, &figures),
        load(scope.edition, &figures),
    ];
    tables.extend(trends(scope));
    tables.push(drills(scope));
    tables.push(quality(scope, &figures));
    match scope.edition {
        Edition::Shareable => {}
        Edition::Admin => tables.extend([houses(scope, &figures), alerts(scope), accepts(scope)]),
    }
    tables
}

/// The tables that only the total has.
pub(super) fn total_tables(gathered: &GatheredCases, edition: Edition) -> Vec<Table> {
    let mut tables = vec![lines(gathered, edition), intake(&gathered.intake, edition)];
    tables.push(reject_reasons(&gathered.intake, edition));
    if edition == Edition::Admin {
        tables.push(rejects(&gathered.intake));
    }
    tables
}

fn summary(scope: &Scope<'_>, figures: &Figures) -> Table {
    let edition = scope.edition;
    let accepted = edition.parts(&[figures.accepted, figures.mature - figures.accepted]);
    let younger = edition.alone(scope.all_alerts - scope.mature_alerts);
    // Younger and mature ones add up to all, so all are not told where the younger are not.
    let alerts = match younger {
        PublishedCount::Count(_) => edition.alone(scope.all_alerts),
        PublishedCount::Withheld => PublishedCount::Withheld,
    };
    let row = |name: &str, value: Cell| vec![Cell::text(name), value, Cell::None, Cell::None];
    let share = |name: &str, count: PublishedCount| {
        let count = count.count();
        let value = count
            .filter(|_| 0 < figures.mature)
            .map(|count| Cell::Share(count as f64 / figures.mature as f64));
        let interval = count.and_then(|count| wilson(count, figures.mature));
        let bound = |bound: fn(&Interval) -> f64| {
            interval
                .as_ref()
                .map_or(Cell::None, |interval| Cell::Share(bound(interval)))
        };
        let value = if count.is_none() {
            Cell::Withheld
        } else {
            value.unwrap_or(Cell::None)
        };
        vec![
            Cell::text(name),
            value,
            bound(|interval| interval.low),
            bound(|interval| interval.high),
        ]
    };
    let ends: Vec<u64> = accepted[0]
        .count()
        .into_iter()
        .chain([figures.mature])
        .collect();
    let within = edition.steps(&figures.accepted_within, &ends);
    let mut rows = vec![
        row("alerts", alerts.into()),
        row(
            "repeat presses",
            edition.part(figures.repeat_presses, figures.alerts).into(),
        ),
        row("mature alerts", edition.alone(figures.mature).into()),
        row("younger alerts", younger.into()),
        row("accepted", accepted[0].into()),
        row("unaccepted", accepted[1].into()),
        share("unaccepted rate", accepted[1]),
    ];
    let names = [
        "accepted within 10 s",
        "accepted within 60 s",
        "accepted within 5 min",
    ];
    debug_assert_eq!(SHARES_WITHIN_MS, [10_000, 60_000, 300_000]);
    rows.extend(
        names
            .into_iter()
            .zip(within)
            .map(|(name, count)| share(name, count)),
    );
    Table {
        name: "summary",
        title: "In short",
        columns: &["figure", "value", "low", "high"],
        rows,
    }
}

/// A quantile's name, its share, and how to take it from what was measured.
type NamedQuantile = (&'static str, f64, fn(&Percentiles) -> f64);

const QUANTILES: [NamedQuantile; 6] = [
    ("p50", 0.5, |naive| naive.p50),
    ("p75", 0.75, |naive| naive.p75),
    ("p90", 0.9, |naive| naive.p90),
    ("p95", 0.95, |naive| naive.p95),
    ("p99", 0.99, |naive| naive.p99),
    ("max", 1.0, |naive| naive.max),
];

fn percentiles(edition: Edition, figures: &Figures, survival: &Survival, all_alerts: u64) -> Table {
    let naive_allowed = edition.allows_quantiles_of(figures.accepted);
    let survival_allowed = edition.allows_quantiles_of(all_alerts) && naive_allowed;
    let reached = |millis: Option<i64>| match millis {
        _ if all_alerts == 0 => Cell::None,
        _ if !survival_allowed => Cell::Withheld,
        Some(millis) => Cell::seconds(millis as f64),
        None => Cell::NotReached,
    };
    let row = |(name, share, of): NamedQuantile| {
        let naive = figures.naive.as_ref().map(|naive| Cell::seconds(of(naive)));
        let quantile = survival.quantile(share);
        let waited = match name {
            // How long those that still wait will wait is not known.
            "max" => [Cell::None, Cell::None, Cell::None],
            _ => [quantile.time_ms, quantile.low_ms, quantile.high_ms].map(reached),
        };
        let mut cells = vec![Cell::text(name), Cell::published(naive, naive_allowed)];
        cells.extend(waited);
        cells
    };
    Table {
        name: "time_to_first_accept",
        title: "Time to the first accept",
        columns: &["quantile", "naive_s", "kaplan_meier_s", "low_s", "high_s"],
        rows: QUANTILES.into_iter().map(row).collect(),
    }
}

/// The moments at which the curve of waiting is told, in seconds.
fn curve_seconds() -> impl Iterator<Item = i64> {
    let fine = (0..60).chain((60..300).step_by(5));
    fine.chain((300..1_800).step_by(60))
        .chain((1_800..=3_600).step_by(300))
}

fn waiting(edition: Edition, survival: &Survival, all_alerts: u64) -> Table {
    let moments: Vec<i64> = curve_seconds().map(|seconds| seconds * 1_000).collect();
    let accepted_by = |moment: i64| {
        let points = survival
            .points()
            .iter()
            .take_while(|point| point.time_ms <= moment);
        points.map(|point| point.accepted).sum::<u64>()
    };
    let accepted: Vec<u64> = moments.iter().map(|moment| accepted_by(*moment)).collect();
    // Where the curve ends matters most: where it may be told, the moments before keep their distance from it.
    let last = accepted.last().copied().unwrap_or(0);
    let end = edition.part(last, all_alerts).count();
    let ends: Vec<u64> = end.into_iter().chain([all_alerts]).collect();
    let shown = edition.steps(&accepted, &ends);
    let row = |(moment, shown): (&i64, PublishedCount)| {
        let point = survival.at(*moment);
        // Before the first accept all wait, and nothing is estimated.
        let waiting = (0 < all_alerts).then(|| point.map_or(1.0, |point| point.waiting));
        let interval = point.and_then(|point| point.interval);
        let bound = |bound: Option<f64>| {
            Cell::published(bound.map(Cell::Share), shown != PublishedCount::Withheld)
        };
        vec![
            Cell::seconds(*moment as f64),
            bound(waiting),
            bound(interval.map(|interval| interval.low)),
            bound(interval.map(|interval| interval.high)),
        ]
    };
    Table {
        name: "waiting",
        title: "Share of alerts that still wait",
        columns: &["after_s", "waiting", "low", "high"],
        rows: moments.iter().zip(shown).map(row).collect(),
    }
}

fn hours(scope: &Scope<'_>) -> Table {
    let hours = by_hour(&scope.cases, &scope.hours_seen, scope.as_of);
    let shown = scope
        .edition
        .parts(&hours.iter().map(|hour| hour.alerts).collect::<Vec<_>>());
    let row = |(hour, shown): (&crate::stats::HourFigures, PublishedCount)| {
        let is_shown = shown != PublishedCount::Withheld;
        let median = hour.median_ms.map(Cell::seconds);
        vec![
            Cell::text(DAYS[usize::from(hour.slot.weekday())]),
            Cell::Count(hour.slot.hour().into()),
            Cell::Number(hour.occurred),
            shown.into(),
            Cell::published(hour.rate().map(Cell::Number), is_shown),
            Cell::published(
                median,
                is_shown && scope.edition.allows_quantiles_of(hour.timed),
            ),
        ]
    };
    Table {
        name: "hour_by_weekday",
        title: "When calls come",
        columns: &[
            "weekday",
            "hour",
            "occurred",
            "alerts",
            "alerts_per_occurrence",
            "median_s",
        ],
        rows: hours.iter().zip(shown).map(row).collect(),
    }
}

/// Mature, accepted, unaccepted and the median of some alerts, beside their count: the same four cells in three tables.
struct Outcomes {
    alerts: u64,
    mature: u64,
    accepted: u64,
    median_ms: Option<f64>,
}

/// The cells of rows that add up in the given groups.
fn outcome_cells(edition: Edition, rows: &[Outcomes], groups: &[Vec<usize>]) -> Vec<[Cell; 5]> {
    let alerts = edition.sums(
        &rows.iter().map(|row| row.alerts).collect::<Vec<_>>(),
        groups,
    );
    let outcomes = rows
        .iter()
        .map(|row| [row.accepted, row.mature - row.accepted]);
    let outcomes = edition.pairs(&outcomes.collect::<Vec<_>>(), groups);
    let cells = |((row, alerts), [accepted, unaccepted]): (
        (&Outcomes, PublishedCount),
        [PublishedCount; 2],
    )| {
        let is_shown = alerts != PublishedCount::Withheld;
        let told = |shown: PublishedCount| {
            if is_shown {
                shown.into()
            } else {
                Cell::Withheld
            }
        };
        let median_allowed = is_shown && edition.allows_quantiles_of(row.accepted);
        [
            alerts.into(),
            told(PublishedCount::Count(row.mature)),
            told(accepted),
            told(unaccepted),
            Cell::published(row.median_ms.map(Cell::seconds), median_allowed),
        ]
    };
    rows.iter().zip(alerts).zip(outcomes).map(cells).collect()
}

fn all_of<T>(rows: &[T]) -> Vec<usize> {
    (0..rows.len()).collect()
}

fn categories(edition: Edition, figures: &Figures) -> Table {
    let outcomes: Vec<Outcomes> = Category::ALL
        .into_iter()
        .map(|category| {
            let category = figures
                .categories
                .get(&(category as u8))
                .cloned()
                .unwrap_or_default();
            Outcomes {
                alerts: category.alerts,
                mature: category.mature,
                accepted: category.accepted,
                median_ms: category.median_ms,
            }
        })
        .collect();
    let cells = outcome_cells(edition, &outcomes, &[all_of(&outcomes)]);
    let row = |(category, cells): (Category, [Cell; 5])| {
        let mut row = vec![Cell::text(category.name())];
        row.extend(cells);
        row
    };
    Table {
        name: "categories",
        title: "What calls are about",
        columns: &[
            "category",
            "alerts",
            "mature",
            "accepted",
            "unaccepted",
            "median_s",
        ],
        rows: Category::ALL.into_iter().zip(cells).map(row).collect(),
    }
}

fn responders(edition: Edition, figures: &Figures) -> Table {
    let per_alert = figures.responders.per_alert;
    let shown = edition.parts(&per_alert);
    let gaps = &figures.responders.gaps_ms;
    let gap = |share| {
        let value = percentile(gaps, share).map(Cell::seconds);
        Cell::published(value, edition.allows_quantiles_of(gaps.len() as u64))
    };
    let names = ["0 houses", "1 house", "2 houses", "3 or more houses"];
    let row = |(name, value): (&str, Cell)| vec![Cell::text(name), value];
    let mut rows: Vec<Vec<Cell>> = names
        .into_iter()
        .zip(shown)
        .map(|(name, shown)| row((name, shown.into())))
        .collect();
    rows.extend(
        [
            ("rank 1 to rank 2, median (s)", gap(0.5)),
            ("rank 1 to rank 2, p90 (s)", gap(0.9)),
            (
                "accepts repeated by a house",
                edition.alone(figures.responders.repeated_accepts).into(),
            ),
            (
                "accepts of the caller's own house",
                edition.alone(figures.responders.own_accepts).into(),
            ),
        ]
        .map(row),
    );
    Table {
        name: "responders",
        title: "How many houses come",
        columns: &["responders", "value"],
        rows,
    }
}

fn load(edition: Edition, figures: &Figures) -> Table {
    const BUCKETS: [(&str, u64); 5] = [
        ("1", 1),
        ("2", 2),
        ("3 to 5", 5),
        ("6 to 10", 10),
        ("more than 10", u64::MAX),
    ];
    let mut houses = [0; BUCKETS.len()];
    for alerts in figures.responders.load.values() {
        let bucket = BUCKETS
            .iter()
            .position(|(_, most)| alerts <= most)
            .expect("the last bucket holds all");
        houses[bucket] += 1;
    }
    let shown = edition.parts(&houses);
    let row =
        |((name, _), shown): ((&str, u64), PublishedCount)| vec![Cell::text(name), shown.into()];
    Table {
        name: "responder_load",
        title: "How often the same houses come",
        columns: &["alerts_accepted", "houses"],
        rows: BUCKETS.into_iter().zip(shown).map(row).collect(),
    }
}

fn trends(scope: &Scope<'_>) -> [Table; 3] {
    let periods = |grain| trend(&scope.cases, grain, &scope.zone, scope.since, scope.as_of);
    let (days, weeks, months) = (
        periods(Grain::Day),
        periods(Grain::Week),
        periods(Grain::Month),
    );
    // The days of a week and of a month add up to what the other tables tell.
    let mut day_groups = vec![all_of(&days)];
    day_groups.extend(days_within(&days, &weeks));
    day_groups.extend(days_within(&days, &months));
    let columns = &[
        "first_day",
        "partial",
        "alerts",
        "mature",
        "accepted",
        "unaccepted",
        "median_s",
    ];
    let table = |name, title, periods: &[Period], groups: &[Vec<usize>]| {
        let rows = period_rows(scope.edition, periods, groups);
        Table {
            name,
            title,
            columns,
            rows,
        }
    };
    [
        table("trend_day", "Day by day", &days, &day_groups),
        table("trend_week", "Week by week", &weeks, &[all_of(&weeks)]),
        table("trend_month", "Month by month", &months, &[all_of(&months)]),
    ]
}

/// For each longer period, the indices of its days.
fn days_within(days: &[Period], longer: &[Period]) -> Vec<Vec<usize>> {
    let mut groups = vec![Vec::new(); longer.len()];
    for (index, day) in days.iter().enumerate() {
        let holds = longer.partition_point(|period| period.first <= day.first);
        groups[holds - 1].push(index);
    }
    groups
}

fn period_rows(edition: Edition, periods: &[Period], groups: &[Vec<usize>]) -> Vec<Vec<Cell>> {
    let outcomes: Vec<Outcomes> = periods
        .iter()
        .map(|period| Outcomes {
            alerts: period.alerts,
            mature: period.mature,
            accepted: period.accepted,
            median_ms: period.median_ms,
        })
        .collect();
    let row = |(period, cells): (&Period, [Cell; 5])| {
        let mut row = vec![
            Cell::text(period.first.to_string()),
            Cell::Flag(period.is_partial),
        ];
        row.extend(cells);
        row
    };
    periods
        .iter()
        .zip(outcome_cells(edition, &outcomes, groups))
        .map(row)
        .collect()
}

fn drills(scope: &Scope<'_>) -> Table {
    let figures = figures(&scope.drills, scope.as_of);
    let outcomes = scope
        .edition
        .parts(&[figures.accepted, figures.mature - figures.accepted]);
    let median = figures.naive.as_ref().map(|naive| Cell::seconds(naive.p50));
    let row = |name: &str, value: Cell| vec![Cell::text(name), value];
    Table {
        name: "drills",
        title: "Drills, which count nowhere else",
        columns: &["figure", "value"],
        rows: vec![
            row("drills", scope.edition.alone(figures.alerts).into()),
            row("accepted", outcomes[0].into()),
            row("unaccepted", outcomes[1].into()),
            row(
                "median time to first accept (s)",
                Cell::published(median, scope.edition.allows_quantiles_of(figures.accepted)),
            ),
        ],
    }
}

fn quality(scope: &Scope<'_>, figures: &Figures) -> Table {
    let (edition, flaws) = (scope.edition, figures.flaws);
    let located = figures.alerts - flaws.no_location - flaws.invalid_location - flaws.null_island;
    let location = edition.parts(&[
        located,
        flaws.no_location,
        flaws.invalid_location,
        flaws.null_island,
    ]);
    let part = |count| edition.part(count, figures.alerts);
    let rows = [
        ("alerts with a location", location[0]),
        ("no location", location[1]),
        ("invalid location", location[2]),
        ("location (0, 0)", location[3]),
        ("text cut", part(flaws.truncated)),
        ("record and event time differ", part(flaws.skew)),
        ("accepted before raised", part(figures.clamped)),
        ("first accept after the hour", part(figures.accepted_late)),
        ("accepts without an alert", edition.alone(scope.orphans)),
        ("duplicate records", edition.alone(scope.repeats.duplicates)),
        (
            "duplicates after more than 25 h",
            edition.alone(scope.repeats.late),
        ),
    ];
    Table {
        name: "data_quality",
        title: "What was wrong with the data",
        columns: &["figure", "count"],
        rows: rows
            .into_iter()
            .map(|(name, shown)| vec![Cell::text(name), shown.into()])
            .collect(),
    }
}

fn lines(gathered: &GatheredCases, edition: Edition) -> Table {
    let as_of = gathered.as_of.as_millis();
    let outcomes: Vec<Outcomes> = gathered
        .lines
        .iter()
        .map(|line| line_outcomes(line, edition, as_of))
        .collect();
    let cells = outcome_cells(edition, &outcomes, &[all_of(&outcomes)]);
    let row = |(line, cells): (&LineCases, [Cell; 5])| {
        let zone = line.zone.iana_name().unwrap_or("UTC");
        let mut row = vec![Cell::text(line.line.as_str()), Cell::text(zone)];
        row.extend(cells);
        row
    };
    Table {
        name: "lines",
        title: "The complexes",
        columns: &[
            "line",
            "time_zone",
            "alerts",
            "mature",
            "accepted",
            "unaccepted",
            "median_s",
        ],
        rows: gathered.lines.iter().zip(cells).map(row).collect(),
    }
}

fn line_outcomes(line: &LineCases, edition: Edition, as_of: i64) -> Outcomes {
    let cases = line
        .rows
        .iter()
        .filter(|row| !row.is_drill)
        .map(|row| &row.case);
    let cases: Vec<&Case> = cases
        .filter(|case| edition == Edition::Admin || case.is_mature(as_of))
        .collect();
    let mature: Vec<&Case> = cases
        .iter()
        .copied()
        .filter(|case| case.is_mature(as_of))
        .collect();
    let times = crate::stats::accept_times(mature.iter().copied());
    Outcomes {
        alerts: cases.len() as u64,
        mature: mature.len() as u64,
        accepted: times.len() as u64,
        median_ms: median(&times),
    }
}

fn intake(intake: &Intake, edition: Edition) -> Table {
    let rows = [
        ("records", intake.records),
        ("after the moment of the report", intake.after_as_of),
        ("tests and the system's own", intake.tests),
        ("events of an unknown type", intake.unknown_types),
        ("unreadable records", intake.rejected),
    ];
    Table {
        name: "intake",
        title: "What was read",
        columns: &["figure", "count"],
        rows: rows
            .into_iter()
            .map(|(name, count)| vec![Cell::text(name), edition.alone(count).into()])
            .collect(),
    }
}

fn reject_reasons(intake: &Intake, edition: Edition) -> Table {
    let mut reasons: BTreeMap<&'static str, u64> = BTreeMap::new();
    for reject in &intake.rejects {
        *reasons.entry(reject.reason).or_default() += 1;
    }
    let shown = edition.parts(&reasons.values().copied().collect::<Vec<_>>());
    let row =
        |(reason, shown): (&&'static str, PublishedCount)| vec![Cell::text(*reason), shown.into()];
    Table {
        name: "reject_reasons",
        title: "Why records could not be read",
        columns: &["reason", "records"],
        rows: reasons.keys().zip(shown).map(row).collect(),
    }
}

fn rejects(intake: &Intake) -> Table {
    let row = |reject: &crate::case_builder::Reject| {
        vec![
            Cell::text(reject.place.topic.name()),
            Cell::Count(reject.place.partition.into()),
            Cell::Count(reject.place.offset),
            Cell::text(reject.reason),
        ]
    };
    Table {
        name: "rejects",
        title: "Records that could not be read",
        columns: &["topic", "partition", "offset", "reason"],
        rows: intake.rejects.iter().map(row).collect(),
    }
}

fn houses(scope: &Scope<'_>, figures: &Figures) -> Table {
    let row = |(number, alerts): (&u32, &u64)| {
        let (line, house) = &scope.houses[*number as usize];
        let first = figures.responders.first.get(number).copied().unwrap_or(0);
        vec![
            Cell::text(line.as_str()),
            Cell::text(house.as_str()),
            Cell::Count(*alerts),
            Cell::Count(first),
        ]
    };
    Table {
        name: "houses",
        title: "The houses that come",
        columns: &["line", "house", "alerts_accepted", "as_first"],
        rows: figures.responders.load.iter().map(row).collect(),
    }
}

fn alerts(scope: &Scope<'_>) -> Table {
    let row = |(line, row): &(&LineCases, &crate::case_builder::Row)| {
        let case = &row.case;
        let details = row.details.as_ref();
        let point = details.and_then(|details| details.point.as_ref());
        let coordinate = |coordinate: Option<&String>| {
            coordinate.map_or(Cell::None, |text| Cell::text(text.as_str()))
        };
        let first = case
            .first_accept_ms()
            .map_or(Cell::None, |millis| Cell::seconds(millis as f64));
        vec![
            Cell::text(row.id.to_string()),
            Cell::text(line.line.as_str()),
            Cell::text(scope.houses[case.house as usize].1.as_str()),
            Cell::Time(EventTime::from_millis(case.raised_at)),
            Cell::Flag(row.is_drill),
            Cell::text(Category::ALL[usize::from(case.category)].name()),
            Cell::text(details.map_or("", |details| details.text.as_str())),
            coordinate(point.map(|(lat, _)| lat)),
            coordinate(point.map(|(_, lng)| lng)),
            first,
            Cell::Count(case.responses.len() as u64),
        ]
    };
    Table {
        name: "alerts",
        title: "Every alert",
        columns: &[
            "id",
            "line",
            "house",
            "raised_at",
            "drill",
            "category",
            "text",
            "lat",
            "lng",
            "first_accept_s",
            "responders",
        ],
        rows: scope.rows.iter().map(row).collect(),
    }
}

fn accepts(scope: &Scope<'_>) -> Table {
    let rows = scope.rows.iter().flat_map(|(line, row)| {
        row.case
            .responses
            .iter()
            .zip(1..)
            .map(move |(response, rank)| {
                vec![
                    Cell::text(row.id.to_string()),
                    Cell::text(line.line.as_str()),
                    Cell::text(scope.houses[response.house as usize].1.as_str()),
                    Cell::Time(EventTime::from_millis(response.at)),
                    Cell::Count(rank),
                ]
            })
    });
    Table {
        name: "accepts",
        title: "The first accept of every house",
        columns: &["alert_id", "line", "house", "accepted_at", "rank"],
        rows: rows.collect(),
    }
}
