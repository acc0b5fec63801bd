//! What a folder is about: one line, or all of them.

use event_model::fold::Repeats;
use event_model::{EventTime, House, Line};
use jiff::tz::TimeZone;

use super::disclosure::Edition;
use crate::case_builder::{GatheredCases, LineCases, Row};
use crate::stats::{Case, HoursSeen, Survival, day_start_ms, figures, hours_seen};

/// The alerts of a folder and what is known around them.
pub(super) struct Scope<'a> {
    pub(super) edition: Edition,
    /// `None`: the total.
    pub(super) line: Option<&'a Line>,
    pub(super) as_of: i64,
    /// The first event.
    pub(super) since: i64,
    /// From when on hours are counted and the report says that it tells. The shareable edition begins with the day:
    /// the first event is a single call.
    pub(super) told_since: i64,
    /// Whose days, weeks and months are told.
    pub(super) zone: TimeZone,
    pub(super) hours_seen: HoursSeen,
    /// The real alerts that are counted in tables. The shareable edition counts mature ones only: a few younger ones
    /// would follow from any two sums, one with and one without them.
    pub(super) cases: Vec<&'a Case>,
    pub(super) all_alerts: u64,
    pub(super) mature_alerts: u64,
    /// The wait of all real alerts.
    pub(super) survival: Survival,
    pub(super) drills: Vec<&'a Case>,
    /// Every alert, drills too.
    pub(super) rows: Vec<(&'a LineCases, &'a Row)>,
    pub(super) houses: &'a [(Line, House)],
    pub(super) orphans: u64,
    pub(super) repeats: Repeats,
}

impl<'a> Scope<'a> {
    /// One line, on its own clocks.
    pub(super) fn line(gathered: &'a GatheredCases, line: &'a LineCases, edition: Edition) -> Self {
        Self::of(
            gathered,
            std::slice::from_ref(line),
            edition,
            Some(&line.line),
            line.zone.clone(),
        )
    }

    /// All lines. Hours are those of each line's clocks; days, weeks and months are those of `zone`.
    pub(super) fn total(gathered: &'a GatheredCases, edition: Edition, zone: TimeZone) -> Self {
        Self::of(gathered, &gathered.lines, edition, None, zone)
    }

    fn of(
        gathered: &'a GatheredCases,
        lines: &'a [LineCases],
        edition: Edition,
        line: Option<&'a Line>,
        zone: TimeZone,
    ) -> Self {
        let as_of = gathered.as_of.as_millis();
        let since = lines.iter().map(|line| line.since).min().unwrap_or(as_of);
        let rows: Vec<(&LineCases, &Row)> = lines
            .iter()
            .flat_map(|line| line.rows.iter().map(move |row| (line, row)))
            .collect();
        let cases = |drills: bool| {
            let wanted = rows.iter().filter(move |(_, row)| row.is_drill == drills);
            wanted.map(|(_, row)| &row.case).collect::<Vec<&Case>>()
        };
        let all = cases(false);
        let mature = all
            .iter()
            .copied()
            .filter(|case| case.is_mature(as_of))
            .collect::<Vec<_>>();
        let mut scope = Self {
            edition,
            line,
            as_of,
            since,
            told_since: match edition {
                Edition::Admin => since,
                Edition::Shareable => day_start_ms(&zone, since),
            },
            zone,
            hours_seen: HoursSeen::default(),
            all_alerts: all.len() as u64,
            mature_alerts: mature.len() as u64,
            survival: figures(&all, as_of).survival,
            cases: if edition == Edition::Admin {
                all
            } else {
                mature
            },
            drills: cases(true),
            rows,
            houses: &gathered.houses,
            orphans: lines.iter().map(|line| line.orphans).sum(),
            repeats: Repeats::default(),
        };
        for line in lines {
            scope.hours_seen.add(&match edition {
                Edition::Admin => line.hours_seen.clone(),
                Edition::Shareable => {
                    hours_seen(&line.zone, day_start_ms(&line.zone, line.since), as_of)
                }
            });
            scope.repeats.duplicates += line.repeats.duplicates;
            scope.repeats.late += line.repeats.late;
        }
        scope
    }

    /// Of so few calls the shareable edition could show nothing, and its dates would be theirs.
    pub(super) fn may_be_told(&self) -> bool {
        self.edition.allows_quantiles_of(self.mature_alerts)
    }

    /// The name on the page.
    pub(super) fn title(&self) -> &str {
        self.line.map_or("All complexes", Line::as_str)
    }

    pub(super) fn as_of_time(&self) -> EventTime {
        EventTime::from_millis(self.as_of)
    }

    pub(super) fn since_time(&self) -> EventTime {
        EventTime::from_millis(self.told_since)
    }

    pub(super) fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }
}
