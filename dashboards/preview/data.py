#!/usr/bin/env python3
"""Writes what exporters would have said over some time, as OpenMetrics for promtool.

    data.py small|big|calm|huge OUT

small: 1 tenant with 6 definitions, 7 days; calm: the same, and nothing goes wrong;
big: 20 tenants with 150 definitions each, 26 hours; huge: 200 tenants with 150 each, 2 hours.
Every family of the catalogue is written. The last line of the output is the time of the last scrape.
"""
import math
import random
import sys
import time
import uuid

HOUR, DAY = 3600, 86400
SIZES = {  # tenants, definitions of each, span, seconds between scrapes
    "small": (1, 6, 7 * DAY + HOUR, 60),
    "calm": (1, 6, 7 * DAY + HOUR, 60),
    "big": (20, 150, 26 * HOUR, 240),
    "huge": (200, 150, 2 * HOUR, 240),
}
CITIES = "Kyoto Austin Dublin Zürich Pune Oslo Lima Porto Gdańsk Bergen Accra Osaka".split()
THINGS = "printers,database hosts,core switches,access points,web servers,domain controllers,cameras,badge readers,build agents,file servers".split(",")
TENANTS = "contoso fabrikam northwind adatum tailspin wingtip litware proseware woodgrove trey-research alpine-ski blue-yonder city-power coho-winery fourth-coffee graphic-design humongous lucerne margies-travel southridge".split()
REASONS = "auth forbidden throttled timeout connect server client decode".split()
SIGN_IN = "wrong_secret expired_secret unknown_application unknown_tenant bad_assertion missing_service_principal conditional_access refused timeout connect throttled server other".split()
COLLECTORS = "definitions history sessions agents".split()
STATUSES = ["failure", "success", "partial_success", "unknown"]
HANDSHAKES = "no_certificate bad_certificate incompatible alert plain_http protocol closed timeout".split()
TARGET_BOUNDS = [1, 5, 15, 30, 60, 300, 900, 3600]
CALL_BOUNDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
COMMIT_BOUNDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5]
JOB = "defender-scan-exporter"

kind, out = sys.argv[1], sys.argv[2]
tenant_count, per_tenant, span, step = SIZES[kind]
large, calm = tenant_count > 1, kind == "calm"
rng = random.Random(11 if large else 7)
end = int(time.time()) // 60 * 60
start = end - span // step * step
lines = []


def guid():
    return str(uuid.UUID(int=rng.getrandbits(128)))


def labels(**pairs):
    def quoted(text):
        return str(text).replace("\\", "\\\\").replace('"', '\\"')

    return ",".join(f'{key}="{quoted(value)}"' for key, value in pairs.items())


class Histogram:
    """Cumulative buckets, as they are scraped."""

    def __init__(self, bounds):
        self.bounds, self.counts, self.sum = bounds, [0] * (len(bounds) + 1), 0.0

    def observe(self, value):
        self.sum += value
        first = next((i for i, bound in enumerate(self.bounds) if value <= bound), len(self.bounds))
        for i in range(first, len(self.counts)):
            self.counts[i] += 1

    def write(self, name, at):
        for bound, count in zip([*map(float, self.bounds), "+Inf"], self.counts):
            put(f"{name}_bucket", f'{at},le="{bound}"', count)
        put(f"{name}_sum", at, round(self.sum, 3))
        put(f"{name}_count", at, self.counts[-1])


class Agent:
    def __init__(self, tenant, number):
        self.silent_from = None
        self.id = guid()
        self.info = labels(
            agent_id=self.id,
            machine_id=f"{rng.getrandbits(160):040x}",
            computer_dns_name=f"scanner{number}.{tenant.name}.example",
            scanner_version="7.1.0.0" if rng.random() < 0.8 else "6.9.3.0",
            client_version="10.8295.22621.1010",
        )


class Definition:
    """A definition, and all its runs: (time, status, targets reached)."""

    def __init__(self, tenant, number):
        self.id = guid()
        self.name = f"{rng.choice(CITIES)} {rng.choice(THINGS)}"
        if large:
            self.name += f" {number}"
        self.type = rng.choice(["Network", "Network", "Linux"])
        self.target = rng.choice(["Ip", "Hostname", "Combined"])
        self.agent = rng.choice(tenant.agents)
        choices = [HOUR, 4 * HOUR, 4 * HOUR, DAY]
        self.interval = rng.choice(choices) if large else [HOUR, HOUR, 4 * HOUR, 4 * HOUR, DAY, DAY][number]
        self.active, self.targets = True, rng.randint(4, 40)
        self.fate, self.since = "well", 0
        if large:
            self.fate_of_many(tenant, number)
        elif not calm:
            fates = {1: ("partial", 5), 2: ("stopped", 14), 3: ("fail", 9), 5: ("flaky", 0)}
            self.fate, hours = fates.get(number, ("well", 0))
            self.since = end - hours * HOUR
        self.runs = list(self.history())
        self.next, self.last, self.last_success = 0, None, None
        self.sessions = [0, 0, 0, 0]
        pairs = {"job": JOB, "instance": tenant.instance, "tenant": tenant.name, "definition_id": self.id}
        self.at = labels(**pairs)
        self.info = labels(**pairs, scan_name=self.name, scan_type=self.type, target_type=self.target, agent_id=self.agent.id)

    def fate_of_many(self, tenant, number):
        chance = rng.random()
        fates = [
            (0.012, "fail", [1, 2, 5, 14, 40]), (0.035, "partial", [1, 4, 9, 30, 200]), (0.047, "stopped", [12, 30, 60, 200]),
            (0.055, "never", [0]), (0.085, "inactive", [0]), (0.1, "once", [0]), (0.16, "flaky", [0]), (0.17, "retired", [200]),
        ]
        for limit, fate, hours in fates:
            if chance < limit:
                self.fate, self.since = fate, end - rng.choice(hours) * HOUR
                break
        if tenant.number == 5 and number % 3 == 0:
            self.fate, self.since = "fail", end - 5 * HOUR
        if self.agent.silent_from:
            self.fate, self.since = "stopped", self.agent.silent_from
        if self.fate == "retired":
            self.fate, self.type = "stopped", "Windows"
        self.active = self.fate != "inactive"
        if self.fate == "once":
            self.interval = None
        if number == 77 and tenant.number % 6 == 0:
            self.name = ""
        if number == 33 and tenant.number == 0:
            self.name = 'odd "name" \\ with {braces}, and a rather long description of what it is for (do not touch!)'

    def history(self):
        if self.fate == "never":
            return
        begin = start - 3 * DAY
        at = begin + rng.random() * self.interval if self.interval else start - rng.randint(1, 40) * HOUR
        if self.fate == "stopped":
            at = min(at, self.since - 10)
        while at <= end:
            if self.fate == "stopped" and at > self.since or self.fate == "inactive" and at > start - HOUR:
                return
            status, reached = 1, self.targets
            if self.fate == "fail" and at >= self.since:
                status, reached = 0, 0
            elif self.fate == "partial" and at >= self.since:
                status, reached = 2, max(1, int(self.targets * 0.6))
            elif self.fate == "flaky" and rng.random() < 0.3:
                status, reached = rng.choice([(2, self.targets // 2), (2, self.targets // 2), (0, 0)])
            elif rng.random() < (0.004 if calm else 0.01):
                status, reached = 2, self.targets - 1
            yield at + rng.uniform(0, 60), status, reached
            if not self.interval:
                return
            at += self.interval * rng.uniform(0.98, 1.03)

    def write(self, tenant, now):
        fetched = tenant.success["definitions"] or start
        while self.next < len(self.runs) and self.runs[self.next][0] <= fetched:
            self.last = at, status, reached = self.runs[self.next]
            self.next += 1
            if status == 1:
                self.last_success = at
            if at > start:
                self.sessions[status] += 1
                for _ in range(reached):
                    tenant.targets.observe(rng.lognormvariate(3.6, 0.9))
        if self.last:
            at, status, reached = self.last
            put("defender_scan_last_timestamp_seconds", self.at, round(at, 3))
            put("defender_scan_last_age_seconds", self.at, round(max(0, now - at), 3))
            put("defender_scan_status_code", self.at, status)
            put("defender_scan_targets", self.at, self.targets)
            put("defender_scan_targets_succeeded", self.at, reached)
        if self.last_success:
            put("defender_scan_last_success_timestamp_seconds", self.at, round(self.last_success, 3))
        if self.interval:
            put("defender_scan_interval_seconds", self.at, self.interval)
        put("defender_scan_active", self.at, int(self.active))
        put("defender_scan_troubleshoot_mode", self.at, 0)
        put("defender_scan_definition_info", self.info, 1)
        for status, count in zip(STATUSES, self.sessions):
            put("defender_scan_sessions_total", f'{self.at},status="{status}"', count)


class Tenant:
    def __init__(self, number):
        self.number = number
        self.name = TENANTS[number] if number < len(TENANTS) else f"customer-{number}"
        self.instance = f"exporter-{number % 2}:10063" if large else "exporter:10063"
        self.at = labels(job=JOB, instance=self.instance, tenant=self.name)
        self.agents = [Agent(self, n) for n in range(6 if large else 3)]
        if large and number in (3, 7, 12):
            self.agents[1].silent_from = end - rng.choice([3, 9, 20]) * HOUR - 400
        if large and number == 16:
            self.agents[2].silent_from = end - 40 * DAY
        self.definitions = [Definition(self, n) for n in range(per_tenant)]
        self.outages = self.outages_of(number)
        self.up, self.paused_until, self.token = None, 0, start + 3000
        self.success = dict.fromkeys(COLLECTORS)
        self.errors, self.sign_in, self.codes = {}, {}, {}
        self.calls, self.latency = [], {e: Histogram(CALL_BOUNDS) for e in COLLECTORS}
        self.targets = Histogram(TARGET_BOUNDS)
        self.next_poll = start + rng.randint(0, 299)
        self.next_agents = self.next_poll
        self.certificate = None
        if number % 4 == 1 or not large:
            self.certificate = end + (200 if calm else 12 + 30 * number) * DAY

    @staticmethod
    def outages_of(number):
        """(from, to, reason)"""
        if calm:
            return []
        if not large:
            return [(end - 50 * HOUR, end - 47 * HOUR, "server"), (end - 11 * HOUR, end - 11 * HOUR + 1800, "throttled")]
        return {
            2: [(end - 15 * HOUR, end - 13 * HOUR, "server")],
            9: [(end - 6 * HOUR, end + 1, "auth")],
            14: [(end - 20 * HOUR, end - 20 * HOUR + 1500, "timeout"), (end - 4 * HOUR, end - 4 * HOUR + 2400, "throttled")],
            18: [(end - 1500, end + 1, "connect")],
        }.get(number, [])

    def call(self, endpoint, took, code, now):
        self.latency[endpoint].observe(took)
        self.codes[endpoint, code] = self.codes.get((endpoint, code), 0) + 1
        self.calls.append(now)

    def poll(self, now):
        outage = next((o for o in self.outages if o[0] <= now < o[1]), None)
        if outage:
            reason = outage[2]
            self.up = 0
            self.errors["definitions", reason] = self.errors.get(("definitions", reason), 0) + 1
            if reason == "auth":
                self.sign_in["expired_secret"] = self.sign_in.get("expired_secret", 0) + 1
            elif reason == "throttled":
                self.paused_until = now + 400
                self.call("definitions", 0.2, "429", now)
            else:
                self.call("definitions", {"server": 4, "timeout": 30}.get(reason, 0.04), {"server": "503"}.get(reason, "none"), now)
            return
        self.up, self.paused_until = 1, 0
        rounds = {"definitions": 1 + per_tenant // 100, "history": rng.choice([0, 1, 1, 2] if large else [0, 0, 1])}
        if self.next_agents <= self.next_poll:
            self.next_agents += 900
            rounds["agents"] = 1
        for endpoint, count in rounds.items():
            for _ in range(count):
                self.call(endpoint, rng.lognormvariate(-1.1 + 0.3 * math.sin(now / 9000), 0.6), "200", now)
            if count or not self.success[endpoint]:
                self.success[endpoint] = now
        if now > self.token - 300:
            self.token = now + 3599

    def advance(self, now):
        while self.next_poll <= now:
            self.poll(now)
            self.next_poll += 300
        self.calls = [call for call in self.calls if call > now - HOUR]

    def write(self, now):
        for definition in self.definitions:
            definition.write(self, now)
        self.targets.write("defender_scan_target_duration_seconds", self.at)
        for agent in self.agents:
            seen = min(self.success["agents"] or start, agent.silent_from or math.inf) - 37
            at = f'{self.at},agent_id="{agent.id}"'
            put("defender_scan_agent_last_seen_timestamp_seconds", at, seen)
            put("defender_scan_agent_last_command_timestamp_seconds", at, seen - 900)
            put("defender_scan_agent_info", f"{self.at},{agent.info}", 1)
        if self.up is not None:
            put("defender_up", self.at, self.up)
            put("defender_api_batch_size", self.at, 1000 if self.number % 5 else 250)
        for name in COLLECTORS:
            self.write_collector(name, now)
        active = sum(definition.active for definition in self.definitions)
        quarantined = 2 if large and self.number == 6 else 0
        for state, count in (("active", active), ("inactive", per_tenant - active), ("quarantined", quarantined)):
            put("defender_definitions", f'{self.at},state="{state}"', count)
        put("defender_definitions_dropped", self.at, 0)
        for window, limit, used in (("minute", 80, sum(c > now - 60 for c in self.calls)), ("hour", 1200, len(self.calls))):
            put("defender_api_quota_limit", f'{self.at},window="{window}"', limit)
            put("defender_api_quota_used", f'{self.at},window="{window}"', used)
        put("defender_api_quota_reserve", self.at, 0)
        put("defender_api_links_refused_total", self.at, 0)
        put("defender_api_throttled_until_timestamp_seconds", self.at, self.paused_until)
        put("defender_exporter_poller_restarts_total", self.at, 0)
        put("defender_auth_token_expiry_timestamp_seconds", self.at, self.token)
        for reason in SIGN_IN:
            put("defender_auth_errors_total", f'{self.at},reason="{reason}"', self.sign_in.get(reason, 0))
        if self.certificate:
            put("defender_auth_certificate_expiry_timestamp_seconds", self.at, self.certificate)
        credential = self.certificate or end + (90 + 7 * self.number) * DAY
        put("defender_auth_credential_expiry_timestamp_seconds", self.at, credential)
        put("defender_tenant_info", f'{self.at},tenant_id="{self.name}.example",cloud="public"', 1)
        if self.number == 4:
            put("defender_api_sunset_timestamp_seconds", f'{self.at},endpoint="history"', end + 60 * DAY)

    def write_collector(self, name, now):
        at = f'{self.at},collector="{name}"'
        if self.success[name] and name != "sessions":
            put("defender_collector_last_success_timestamp_seconds", at, self.success[name])
            put("defender_collector_duration_seconds", at, round(0.3 + 0.2 * math.sin(now / 7000 + self.number), 3))
        failing = name == "definitions" and self.up == 0
        put("defender_collector_next_attempt_timestamp_seconds", at, self.next_poll if failing else 0)
        for reason in REASONS:
            put("defender_collector_errors_total", f'{at},reason="{reason}"', self.errors.get((name, reason), 0))
        at = f'{self.at},endpoint="{name}"'
        self.latency[name].write("defender_api_request_duration_seconds", at)
        for code in {"none", "200"} | {code for endpoint, code in self.codes if endpoint == name}:
            put("defender_api_requests_total", f'{at},code="{code}"', self.codes.get((name, code), 0))
        for reason in ("unreadable", "duplicate", "unrelated"):
            put("defender_api_records_skipped_total", f'{at},reason="{reason}"', 0)
        for family in ("values_unreadable", "truncated", "endless"):
            put(f"defender_api_{family}_total", at, 0)


class Exporter:
    """The process itself. It restarts once, for an update, seven hours before the end."""

    def __init__(self, instance, first):
        self.at = labels(job=JOB, instance=instance)
        self.starts = [start - rng.randint(0, DAY)]
        if first and not calm:
            self.starts.append(end - 7 * HOUR - 90)
        self.cpu, self.requests, self.commits = 0.0, 0, Histogram(COMMIT_BOUNDS)
        self.started = None

    def silent(self, now):
        return any(0 <= now - at < 150 for at in self.starts[1:])

    def write(self, now):
        put("up", self.at, 0 if self.silent(now) else 1)
        if self.silent(now):
            return
        started = [at for at in self.starts if at <= now][-1]
        if started != self.started:
            self.started, self.cpu, self.requests = started, 0.0, 0
            self.commits = Histogram(COMMIT_BOUNDS)
        self.cpu += step * (0.004 + (0.01 if large else 0.0004) * rng.random())
        self.requests += 1
        self.commits.observe(rng.lognormvariate(-5.5, 0.6))
        version = "0.2.0" if len(self.starts) > 1 and started == self.starts[-1] else "0.1.0"
        put("defender_exporter_build_info", f'{self.at},version="{version}",revision="183b59add584",rustc_version="1.95.0"', 1)
        for name in ("config", "web_config"):
            put(f"defender_exporter_{name}_last_reload_successful", self.at, 1)
            put(f"defender_exporter_{name}_last_reload_success_timestamp_seconds", self.at, started + 3)
        for handler, code, times in (("metrics", 200, 1), ("healthy", 200, 6), ("ready", 200, 6), ("status", 200, 0.1), ("other", 404, 0), ("reload", 200, 0)):
            put("defender_exporter_http_requests_total", f'{self.at},handler="{handler}",code="{code}"', int(self.requests * times))
        put("defender_exporter_store_errors_total", self.at, 0)
        self.commits.write("defender_exporter_store_commit_duration_seconds", self.at)
        put("defender_exporter_log_lines_dropped_total", self.at, 0)
        for reason in HANDSHAKES:
            put("defender_exporter_tls_handshake_failures_total", f'{self.at},reason="{reason}"', 0)
        put("process_cpu_seconds_total", self.at, round(self.cpu, 3))
        put("process_open_fds", self.at, 19 + rng.randint(0, 6))
        put("process_max_fds", self.at, 20000)
        put("process_virtual_memory_bytes", self.at, 223993856)
        put("process_virtual_memory_max_bytes", self.at, 1 << 40)
        put("process_resident_memory_bytes", self.at, (31 if large else 15) * 1000000 + rng.randint(0, 900000))
        put("process_start_time_seconds", self.at, started)
        put("process_threads", self.at, 4)


def put(name, at, value):
    lines.append(f"{name}{{{at}}} {value} {now}")


tenants = [Tenant(number) for number in range(tenant_count)]
exporters = {instance: Exporter(instance, n == 0) for n, instance in enumerate(sorted({t.instance for t in tenants}))}
with open(out, "w", buffering=1 << 22) as file:
    for now in range(start, end + 1, step):
        for tenant in tenants:
            tenant.advance(now)
            if not exporters[tenant.instance].silent(now):
                tenant.write(now)
        for exporter in exporters.values():
            exporter.write(now)
        file.write("\n".join(lines) + "\n")
        lines.clear()
    file.write("# EOF\n")
print(end)
