#!/usr/bin/env python3
"""The figures computed a second time, by the definitions' words and by nothing of ours, to compare with.

    independent.py generate SEED EVENTS FILE     writes a log, one record per line
    independent.py figures FILE                  computes the figures of that log and prints them as JSON
    independent.py bindings FILE                 says whose alert each accept of some histories belongs to

Only the standard library. The generator puts in what a log of years holds: duplicates, orphans, late accepts,
clocks that are off, records of the original system, drills, tests, unknown types, and records nobody can read.
"""

import bisect
import collections
import datetime
import json
import math
import random
import statistics
import sys
import unicodedata
import uuid
import zlib
import zoneinfo

AS_OF = "2026-06-01T03:21:09.500Z"
FIRST = "2026-02-03T22:10:00.000Z"
ZONES = {"맨해튼 A": "America/New_York", "맨해튼 B": "America/New_York"}
DEFAULT_ZONE = "Asia/Seoul"
LINES = ["래미안1단지", "푸르지오 2차", "자이", "힐스테이트", "맨해튼 A", "맨해튼 B", "한 번 누른 곳"]

# A text and the category that a person would give it.
PHRASES = {
    "주방에 불이 났어요": "fire",
    "smoke in the corridor": "fire",
    "가스 냄새가 나요": "gas",
    "할머니가 쓰러졌어요": "medical",
    "my father is unconscious": "medical",
    "수상한 사람이 침입했어요": "crime",
    "엘리베이터에 갇혔어요": "lift",
    "천장에서 물이 새요": "water",
    "정전입니다": "power",
    "위층 소음이 심해요": "noise",
    "치매 어르신이 실종됐어요": "lost person",
    "살려주세요": "other",
    "": "other",
}
CATEGORIES = ["fire", "gas", "medical", "crime", "lift", "water", "power", "noise", "lost person", "other"]
HOUR = 3_600_000
DAY = 24 * HOUR
UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)


def millis(text):
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment - EPOCH) // datetime.timedelta(milliseconds=1)


def written(at):
    moment = EPOCH + datetime.timedelta(milliseconds=at)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at % 1000:03d}Z"


AS_OF_MS = millis(AS_OF)


# Generating


class Generator:
    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.records = []
        self.first, self.as_of = millis(FIRST), AS_OF_MS

    def uuid(self):
        return str(uuid.UUID(int=self.chance.getrandbits(128), version=4))

    def put(self, topic, line, at, headers, value, time=None, partition=None):
        """A record that arrives a little after it happened, so the log is not quite in the order of events."""
        if partition is None:
            partition = zlib.crc32(plain(line).encode()) % 2
        arrives = at + self.chance.randrange(0, 1500)
        self.records.append((arrives, topic, partition, at if time is None else time, headers, value))

    def event(self, topic, kind, line, at, value, status=None, event_id=None, time=None):
        headers = {"ce_type": kind, "ce_id": event_id or self.uuid(), "ce_time": written(at)}
        if status:
            headers["ce_status"] = status
        spelled = wide(line) if self.chance.random() < 0.05 else line
        self.put(topic, line, at, headers, json.dumps({"line": spelled, **value}, ensure_ascii=False), time)
        duplicate = self.chance.random()
        if duplicate < 0.02:
            self.put(topic, line, at + self.chance.randrange(100, 90_000), headers, json.dumps({"line": line, **value}), at + 60_000)
        elif duplicate < 0.023:
            self.put(topic, line, at + 30 * HOUR, headers, json.dumps({"line": line, **value}), at + 30 * HOUR)
        return headers["ce_id"]

    def original(self, topic, line, at, value):
        text = json.dumps({"line": line, **value}, ensure_ascii=self.chance.random() < 0.5)
        self.put(topic, line, at, {}, text, partition=self.chance.randrange(2))

    def moment(self):
        """More in the evening, and some in the last hour and after the report."""
        pick = self.chance.random()
        if pick < 0.003:
            return self.as_of + self.chance.randrange(1, 2 * HOUR)
        if pick < 0.006:
            return self.as_of - self.chance.randrange(0, HOUR)
        at = self.chance.randrange(self.first, self.as_of)
        return at if self.chance.random() < 0.7 else at - at % DAY + self.chance.randrange(9 * HOUR, 14 * HOUR)

    def position(self):
        pick = self.chance.random()
        if pick < 0.70:
            return {"lat": f"{self.chance.uniform(33, 38):.6f}", "lng": f"{self.chance.uniform(126, 129):.6f}"}
        if pick < 0.84:
            return {"lat": "", "lng": ""}
        if pick < 0.90:
            return {"lat": "0", "lng": "0.0"}
        if pick < 0.95:
            return {"lat": "999", "lng": "127"}
        return {"lat": "37.5"}

    def alert(self, line):
        chance = self.chance
        house = f"{chance.randrange(101, 105)}동 {chance.randrange(1, 40)}호"
        at = self.moment()
        for _ in range(1 + (chance.random() < 0.18) + (chance.random() < 0.05)):
            self.one_alert(line, house, at)
            at += chance.choice([3_000, 20_000, 119_000, 120_000, 121_000, 400_000])

    def one_alert(self, line, house, at):
        chance = self.chance
        text = chance.choice(list(PHRASES))
        if text and chance.random() < 0.02:
            text = text + "!" * 600
        value = {"house": house, "text": text, **self.position()}
        pick = chance.random()
        status = "Exercise" if pick < 0.03 else "Test" if pick < 0.04 else None
        if status is None and chance.random() < 0.1:
            self.original("an-alert", line, at, value)
            return self.accepts(line, house, at, None, None)
        skewed = at + 20_000 if chance.random() < 0.01 else None
        alert_id = self.event("an-alert", "alert.raised.v1", line, at, value, status, time=skewed)
        self.accepts(line, house, at, alert_id, status)

    def accepts(self, line, house, at, alert_id, status):
        chance = self.chance
        for _ in range(chance.choices([0, 1, 2, 3, 5], [8, 45, 30, 12, 5])[0]):
            waited = int(min(chance.lognormvariate(10.2, 1.6), 40 * HOUR))
            if chance.random() < 0.02:
                waited = chance.choice([-2_000, -4_999, -5_000, -5_001, HOUR, HOUR + 1, 23 * HOUR, 25 * HOUR, 10_000, 60_000])
            responder = f"{chance.randrange(101, 105)}동 {chance.randrange(1, 40)}호"
            value = {"accept": responder, "target": house}
            if alert_id and chance.random() < 0.5:
                value["alertId"] = alert_id if chance.random() < 0.99 else self.uuid()
            for _ in range(1 + (chance.random() < 0.05)):
                if alert_id is None and chance.random() < 0.5:
                    self.original("an-accept", line, at + waited, value)
                else:
                    self.event("an-accept", "alert.accepted.v1", line, at + waited, value, status)
                waited += 700

    def trouble(self):
        chance = self.chance
        line, at = chance.choice(LINES[:-1]), self.moment()
        kind = chance.randrange(8)
        if kind == 0:
            self.put("an-alert", line, at, {"ce_type": "alert.unheard-of.v1"}, "{}")
        elif kind == 1:
            self.put("an-alert", line, at, {}, "not json")
        elif kind == 2:
            self.put("an-accept", line, at, {}, json.dumps({"line": line, "accept": "101"}))
        elif kind == 3:
            self.put("an-alert", line, at, {}, None)
        elif kind == 4:
            self.put("an-alert", line, at, {}, json.dumps({"line": line, "house": "a/b"}))
        elif kind == 7:
            # A clock ten years ahead; of some only the event's own time, of others the record's too.
            stamped = at + 3650 * DAY
            headers = {"ce_type": "alert.raised.v1", "ce_id": self.uuid(), "ce_time": written(stamped)}
            value = json.dumps({"line": line, "house": "101동 1호", "text": ""})
            self.put("an-alert", line, at, headers, value, time=chance.choice([at, stamped]))
        elif kind == 5:
            self.event("an-alert", "alert.raised.v1", "__canary", at, {"house": "__probe", "text": ""})
        else:
            self.event("an-accept", "alert.accepted.v1", line, at, {"accept": "101동 1호", "target": "999동 9호"})

    def run(self, events):
        self.one_alert(LINES[-1], "101동 1호", self.as_of - 5 * DAY)
        while len(self.records) < events:
            if self.chance.random() < 0.02:
                self.trouble()
            else:
                self.alert(self.chance.choices(LINES[:-1], [30, 20, 15, 10, 15, 10])[0])
        self.records.sort(key=lambda record: record[0])
        offsets = collections.Counter()
        for _, topic, partition, time, headers, value in self.records:
            offset = offsets[topic, partition]
            offsets[topic, partition] += 1
            yield {"topic": topic, "partition": partition, "offset": offset, "timestamp": time, "headers": headers, "value": value}


def wide(name):
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else "\u3000" if c == " " else c for c in name)


# Reading


def plain(name):
    """What all spellings of a name in this log have in common."""
    return " ".join(unicodedata.normalize("NFKC", name).split())


def read(path):
    """Events by line, and what was left out."""
    left_out = collections.Counter()
    reasons = collections.Counter()
    events = []
    as_of = AS_OF_MS
    records = [json.loads(text) for text in open(path, encoding="utf-8")]
    believed = believable(records)
    for record in records:
        left_out["records"] += 1
        headers = record["headers"]
        kind = headers.get("ce_type", {"an-alert": "alert.raised.v1", "an-accept": "alert.accepted.v1"}[record["topic"]])
        if kind not in ("alert.raised.v1", "alert.accepted.v1"):
            left_out["events of an unknown type"] += 1
            continue
        body, reason = understand(record, kind)
        if reason:
            left_out["unreadable records"] += 1
            reasons[reason] += 1
            continue
        place = (record["topic"] == "an-accept", record["partition"], record["offset"])
        event = {
            "raised": kind == "alert.raised.v1",
            "line": plain(body["line"]),
            "place": place,
            "recorded": record["timestamp"],
            "id": headers.get("ce_id", "%s-%d-%d" % (record["topic"], record["partition"], record["offset"])),
            "at": at_of(record, believed),
            "status": headers.get("ce_status", "Actual"),
            "body": body,
        }
        if event["status"] == "Test" or event["line"].startswith("__"):
            left_out["tests and the system's own"] += 1
        elif event["at"] > as_of:
            left_out["after the moment of the report"] += 1
        else:
            events.append(event)
    return events, left_out, reasons


def at_of(record, believed):
    """No later than a day after its record; and where its record's own time cannot be true, the next one's."""
    at = millis(record["headers"]["ce_time"]) if "ce_time" in record["headers"] else record["timestamp"]
    if at > record["timestamp"] + DAY:
        at = record["timestamp"]
    place = (record["topic"], record["partition"], record["offset"])
    return believed[place] if at > AS_OF_MS and believed[place] != record["timestamp"] else at


def believable(records):
    """A record more than a day ahead of all that follow it in its partition was written when the next one was."""
    believed = {}
    by_partition = collections.defaultdict(list)
    for record in records:
        by_partition[record["topic"], record["partition"]].append(record)
    for same in by_partition.values():
        same.sort(key=lambda record: record["offset"])
        following, latest = None, None
        for record in reversed(same):
            time = record["timestamp"]
            if latest is not None and time > latest + DAY:
                time = following
            following, latest = time, time if latest is None else max(latest, time)
            believed[record["topic"], record["partition"], record["offset"]] = time
    return believed


def understand(record, kind):
    if record["value"] is None:
        return None, "no value"
    try:
        body = json.loads(record["value"])
    except ValueError:
        return None, "no JSON"
    names = ["line", "house"] if kind == "alert.raised.v1" else ["line", "accept", "target"]
    for name in names:
        if name not in body:
            return None, "name missing"
        if "/" in body[name]:
            return None, "invalid name"
    return body, None


def flaws_of(event):
    body, flaws = event["body"], set()
    lat, lng = body.get("lat", ""), body.get("lng", "")
    if lat == "" and lng == "":
        flaws.add("no location")
    elif lat == "" or lng == "" or abs(float(lat)) > 90 or abs(float(lng)) > 180:
        flaws.add("invalid location")
    elif float(lat) == 0 and float(lng) == 0:
        flaws.add("location (0, 0)")
    else:
        flaws.add("alerts with a location")
    if len(body["text"]) > 500:
        flaws.add("text cut")
    if abs(event["recorded"] - event["at"]) > 5_000:
        flaws.add("record and event time differ")
    return flaws


# Folding


def distinct(events):
    """One event for each id, the first in the log, and how many others there were."""
    copies = collections.defaultdict(list)
    for event in events:
        copies[event["id"]].append(event)
    kept, duplicates, late = [], 0, 0
    for same in copies.values():
        same.sort(key=lambda event: event["place"])
        kept.append(same[0])
        for other in same[1:]:
            if other["recorded"] - same[0]["recorded"] > 25 * HOUR:
                late += 1
            else:
                duplicates += 1
    return kept, duplicates, late


def fold(events):
    alerts, duplicates, late = distinct([event for event in events if event["raised"]])
    accepts, more_duplicates, more_late = distinct([event for event in events if not event["raised"]])
    by_id = {alert["id"]: alert for alert in alerts}
    by_house = collections.defaultdict(list)
    for alert in alerts:
        alert["accepts"] = []
        alert["house"] = plain(alert["body"]["house"])
        by_house[alert["house"]].append((alert["at"], alert["place"], alert["id"]))
    for calls in by_house.values():
        calls.sort()
    orphans = 0
    for accept in accepts:
        alert = meant(accept, by_id, by_house)
        if alert is None:
            orphans += 1
        else:
            alert["accepts"].append(accept)
    for alert in alerts:
        alert["accepts"].sort(key=lambda accept: accept["place"])
        alert["first_of_house"] = []
        seen = set()
        for accept in alert["accepts"]:
            house = plain(accept["body"]["accept"])
            if house not in seen:
                seen.add(house)
                alert["first_of_house"].append((house, accept["at"]))
        first = alert["first_of_house"]
        alert["raw"] = first[0][1] - alert["at"] if first else None
        alert["waited"] = max(0, alert["raw"]) if first else None
    since = min([alert["at"] for alert in alerts] + [accept["at"] for accept in accepts if meant(accept, by_id, by_house) is None])
    return {
        "alerts": alerts, "orphans": orphans, "since": since,
        "duplicates": duplicates + more_duplicates, "late": late + more_late,
    }


def meant(accept, by_id, by_house):
    named = accept["body"].get("alertId")
    if named:
        return by_id.get(named)
    calls = by_house.get(plain(accept["body"]["target"]), [])
    live = [call for call in calls if accept["at"] - call[0] < DAY]
    earlier = [call for call in live if call[0] <= accept["at"]]
    soon = [call for call in live if accept["at"] < call[0] <= accept["at"] + 5_000]
    chosen = max(earlier) if earlier else min(soon) if soon else None
    return by_id[chosen[2]] if chosen else None


def bindings(path):
    """For each history of a file: the alerts, each with the houses that go, in order."""
    found = []
    for text in open(path, encoding="utf-8"):
        offsets = collections.Counter()
        events = []
        for event in json.loads(text)["events"]:
            raised = event["type"] == "alert"
            offsets[raised] += 1
            place = (not raised, 0, offsets[raised])
            at = millis(event["at"])
            events.append({"raised": raised, "place": place, "recorded": at, "id": event["id"], "at": at, "body": event})
        found.append({alert["id"]: [house for house, _ in alert["first_of_house"]] for alert in fold(events)["alerts"]})
    return found


# Figures


def quantile(sorted_values, share):
    """Type 7, by the standard library."""
    if not sorted_values:
        return None
    if len(sorted_values) == 1:
        return sorted_values[0] / 1000
    if share == 1:
        return sorted_values[-1] / 1000
    return statistics.quantiles(sorted_values, n=100, method="inclusive")[round(share * 100) - 1] / 1000


def wilson(successes, trials):
    if not trials:
        return None, None
    z = statistics.NormalDist().inv_cdf(0.975)
    share = successes / trials
    root = math.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    centre = share + z * z / (2 * trials)
    scale = 1 + z * z / trials
    return max(0.0, (centre - z * root) / scale), min(1.0, (centre + z * root) / scale)


def is_mature(alert):
    return AS_OF_MS - alert["at"] >= HOUR


def accepted_times(alerts):
    return sorted(a["waited"] for a in alerts if is_mature(a) and a["waited"] is not None and a["waited"] <= HOUR)


def kaplan_meier(alerts):
    """Points (time, share that waits, low, high). The product is taken as a sum of logarithms."""
    z = statistics.NormalDist().inv_cdf(0.975)
    events, leaves = collections.Counter(), collections.Counter()
    for alert in alerts:
        if alert["waited"] is not None and alert["waited"] <= HOUR:
            events[alert["waited"]] += 1
            leaves[alert["waited"]] += 1
        else:
            leaves[min(AS_OF_MS - alert["at"], HOUR)] += 1
    at_risk, log_share, variance, points = len(alerts), 0.0, 0.0, []
    for time in sorted(leaves):
        d = events[time]
        if d == at_risk:
            points.append((time, 0.0, None, None))
        elif d:
            log_share += math.log1p(-d / at_risk)
            variance += d / (at_risk * (at_risk - d))
            spread = math.exp(z * math.sqrt(variance) / -log_share)
            points.append((time, math.exp(log_share), math.exp(log_share * spread), math.exp(log_share / spread)))
        at_risk -= leaves[time]
    return points


def time_to_first_accept(alerts):
    times, points = accepted_times(alerts), kaplan_meier(alerts)
    rows = []
    for name, share in [("p50", 0.5), ("p75", 0.75), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("max", 1)]:
        row = {"quantile": name, "naive_s": quantile(times, share)}
        for key, column, missing in [("kaplan_meier_s", 1, 0.0), ("low_s", 2, 0.0), ("high_s", 3, 1.0)]:
            fallen = (p[0] for p in points if (missing if p[column] is None else p[column]) <= 1 - share + 1e-9)
            reached = next(fallen, None)
            row[key] = None if name == "max" or not alerts else "not reached" if reached is None else reached / 1000
        rows.append(row)
    return rows


def waiting(alerts):
    points = kaplan_meier(alerts)
    grid = [*range(60), *range(60, 300, 5), *range(300, 1800, 60), *range(1800, 3601, 300)]
    rows = []
    for seconds in grid:
        passed = bisect.bisect_right(points, seconds * 1000, key=lambda point: point[0])
        share, low, high = points[passed - 1][1:] if passed else (1.0, None, None)
        rows.append({"after_s": seconds, "waiting": share if alerts else None, "low": low, "high": high})
    return rows


def summary(alerts):
    times = accepted_times(alerts)
    mature = sum(map(is_mature, alerts))
    rows = [
        ("alerts", len(alerts)), ("repeat presses", repeat_presses(alerts)), ("mature alerts", mature),
        ("younger alerts", len(alerts) - mature), ("accepted", len(times)), ("unaccepted", mature - len(times)),
    ]
    rows = [{"figure": name, "value": value, "low": None, "high": None} for name, value in rows]
    within = lambda limit: sum(time <= limit for time in times)
    shares = [("unaccepted rate", mature - len(times)), ("accepted within 10 s", within(10_000)),
              ("accepted within 60 s", within(60_000)), ("accepted within 5 min", within(300_000))]
    for name, count in shares:
        low, high = wilson(count, mature)
        rows.append({"figure": name, "value": count / mature if mature else None, "low": low, "high": high})
    return rows


def repeat_presses(alerts):
    calls = collections.defaultdict(list)
    for alert in sorted(alerts, key=lambda alert: (alert["at"], alert["place"])):
        calls[alert["line"], alert["house"]].append(alert)
    repeats = 0
    for same_house in calls.values():
        for index, call in enumerate(same_house):
            repeats += any(
                call["at"] - earlier["at"] <= 120_000
                and not any(accept["at"] <= call["at"] for accept in earlier["accepts"])
                for earlier in same_house[:index]
            )
    return repeats


def zone_of(line):
    return zoneinfo.ZoneInfo(ZONES.get(line, DEFAULT_ZONE))


def local(at, zone):
    return (EPOCH + datetime.timedelta(milliseconds=at)).astimezone(zone)


def hours(alerts, sinces):
    """Occurrences are counted a quarter of an hour at a time: no clock of these zones changes within one."""
    occurred, quarter, as_of = collections.Counter(), HOUR // 4, AS_OF_MS
    for line, since in sinces.items():
        zone, start = zone_of(line), since - since % quarter
        while start < as_of:
            moment = local(start, zone)
            occurred[moment.weekday(), moment.hour] += (min(start + quarter, as_of) - max(start, since)) / HOUR
            start += quarter
    calls = collections.defaultdict(list)
    for alert in alerts:
        moment = local(alert["at"], zone_of(alert["line"]))
        calls[moment.weekday(), moment.hour].append(alert)
    rows = []
    for day in range(7):
        for hour in range(24):
            those, often = calls[day, hour], occurred[day, hour]
            rows.append({
                "weekday": ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][day], "hour": hour, "occurred": often,
                "alerts": len(those), "alerts_per_occurrence": len(those) / often if often else None,
                "median_s": quantile(accepted_times(those), 0.5),
            })
    return rows


def outcomes(alerts):
    mature, times = sum(map(is_mature, alerts)), accepted_times(alerts)
    return {"alerts": len(alerts), "mature": mature, "accepted": len(times), "unaccepted": mature - len(times),
            "median_s": quantile(times, 0.5)}


def category(alert):
    """Texts are phrases, some with a tail that makes them too long."""
    return PHRASES[alert["body"]["text"].rstrip("!")]


def trend(alerts, since, zone, first_day, next_day, name_of_zone):
    rows, as_of = [], AS_OF_MS
    alerts = sorted(alerts, key=lambda alert: alert["at"])
    day = first_day(local(since, zone).date())
    begin = lambda day: (datetime.datetime.combine(day, datetime.time(), zone).astimezone(UTC) - EPOCH) // datetime.timedelta(milliseconds=1)
    while begin(day) <= as_of:
        start, end = begin(day), begin(next_day(day))
        those = alerts[bisect.bisect_left(alerts, start, key=lambda a: a["at"]) : bisect.bisect_left(alerts, end, key=lambda a: a["at"])]
        rows.append({"first_day": day.isoformat(), "partial": start < since or end > as_of, **outcomes(those)})
        day = next_day(day)
    return rows


def responders(alerts):
    numbers = collections.Counter(min(3, len(a["first_of_house"])) for a in alerts if is_mature(a))
    gaps = sorted(max(0, a["first_of_house"][1][1] - a["first_of_house"][0][1]) for a in alerts if len(a["first_of_house"]) > 1)
    names = ["0 houses", "1 house", "2 houses", "3 or more houses"]
    rows = [(name, numbers[count]) for count, name in enumerate(names)]
    rows += [
        ("rank 1 to rank 2, median (s)", quantile(gaps, 0.5)), ("rank 1 to rank 2, p90 (s)", quantile(gaps, 0.9)),
        ("accepts repeated by a house", sum(len(a["accepts"]) - len(a["first_of_house"]) for a in alerts)),
        ("accepts of the caller's own house", sum(house == a["house"] for a in alerts for house, _ in a["first_of_house"])),
    ]
    return [{"responders": name, "value": value} for name, value in rows]


def load(alerts):
    per_house = collections.Counter((a["line"], house) for a in alerts for house, _ in a["first_of_house"])
    buckets = [("1", 1, 1), ("2", 2, 2), ("3 to 5", 3, 5), ("6 to 10", 6, 10), ("more than 10", 11, 10**9)]
    return [{"alerts_accepted": name, "houses": sum(low <= n <= high for n in per_house.values())} for name, low, high in buckets]


def drills(alerts):
    mature, times = sum(map(is_mature, alerts)), accepted_times(alerts)
    rows = [("drills", len(alerts)), ("accepted", len(times)), ("unaccepted", mature - len(times)),
            ("median time to first accept (s)", quantile(times, 0.5))]
    return [{"figure": name, "value": value} for name, value in rows]


def quality(alerts, folds):
    flaws = collections.Counter(flaw for alert in alerts for flaw in flaws_of(alert))
    rows = [(name, flaws[name]) for name in [
        "alerts with a location", "no location", "invalid location", "location (0, 0)", "text cut", "record and event time differ"]]
    rows += [
        ("accepted before raised", sum(a["raw"] is not None and a["raw"] < 0 for a in alerts)),
        ("first accept after the hour", sum(a["waited"] is not None and a["waited"] > HOUR for a in alerts)),
        ("accepts without an alert", sum(one["orphans"] for one in folds)),
        ("duplicate records", sum(one["duplicates"] for one in folds)),
        ("duplicates after more than 25 h", sum(one["late"] for one in folds)),
    ]
    return [{"figure": name, "count": count} for name, count in rows]


def tables(folds, zone_name):
    every = [alert for one in folds.values() for alert in one["alerts"]]
    alerts = [alert for alert in every if alert["status"] == "Actual"]
    sinces = {line: one["since"] for line, one in folds.items()}
    zone, since = zoneinfo.ZoneInfo(zone_name), min(sinces.values())
    one_day = datetime.timedelta(days=1)
    next_month = lambda day: (day.replace(day=28) + 4 * one_day).replace(day=1)
    over = lambda first_day, next_day: trend(alerts, since, zone, first_day, next_day, zone_name)
    return {
        "summary": summary(alerts),
        "time_to_first_accept": time_to_first_accept(alerts),
        "waiting": waiting(alerts),
        "hour_by_weekday": hours(alerts, sinces),
        "categories": [{"category": name, **outcomes([a for a in alerts if category(a) == name])} for name in CATEGORIES],
        "responders": responders(alerts),
        "responder_load": load(alerts),
        "trend_day": over(lambda day: day, lambda day: day + one_day),
        "trend_week": over(lambda day: day - day.weekday() * one_day, lambda day: day + 7 * one_day),
        "trend_month": over(lambda day: day.replace(day=1), next_month),
        "drills": drills([alert for alert in every if alert["status"] == "Exercise"]),
        "data_quality": quality(alerts, folds.values()),
    }


def figures(path):
    events, left_out, reasons = read(path)
    by_line = collections.defaultdict(list)
    for event in events:
        by_line[event["line"]].append(event)
    folds = {line: fold(by_line[line]) for line in sorted(by_line)}
    total = tables(folds, DEFAULT_ZONE)
    total["intake"] = [{"figure": name, "count": left_out[name]} for name in [
        "records", "after the moment of the report", "tests and the system's own", "events of an unknown type", "unreadable records"]]
    total["reject_reasons"] = [{"reason": reason, "records": reasons[reason]} for reason in sorted(reasons)]
    total["lines"] = [
        {"line": line, "time_zone": ZONES.get(line, DEFAULT_ZONE), **outcomes([a for a in one["alerts"] if a["status"] == "Actual"])}
        for line, one in folds.items()
    ]
    lines = {line: tables({line: one}, ZONES.get(line, DEFAULT_ZONE)) for line, one in folds.items()}
    return {"as_of": AS_OF, "zones": ZONES, "total": total, "lines": lines}


def main(arguments):
    if arguments[0] == "generate":
        seed, events, path = int(arguments[1]), int(arguments[2]), arguments[3]
        with open(path, "w", encoding="utf-8") as file:
            for record in Generator(seed).run(events):
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
    elif arguments[0] == "bindings":
        json.dump(bindings(arguments[1]), sys.stdout)
    else:
        json.dump(figures(arguments[1]), sys.stdout, ensure_ascii=False)


if __name__ == "__main__":
    main(sys.argv[1:])
