# SPDX-License-Identifier: Apache-2.0
"""The dashboard of the chart, as its source: rows of panels, and what Grafana wants around them.

text() is charts/sluice/files/dashboard.json (`make manifests` writes it). The format is the one of
Grafana 9 (schemaVersion 36), which 10 and 11 read as well: each Grafana brings older ones up to its own.
What depends on values of the chart is a variable of the dashboard, but for the currency (a unit may name
no variable) and the address of the runbook: those two the chart replaces, in templates/dashboard.yaml."""
import json
import re

RUNBOOK = 'docs/runbook.md'
CURRENCY = 'currency:EUR '
COLUMNS = 24
MONTH_HOURS = 730

SOURCE = {'type': 'prometheus', 'uid': '${datasource}'}
RULE = 'namespace=~"$namespace",route=~"$route"'
ANY = ''  # what is not of a route alone is not selected by the variables
WINDOW = '[$__rate_interval]'
RANGE = '[$__range]'
ROUTE, BY_RULE = 'namespace, route', 'namespace, route, rule'
POD_NAME = '{{pod}} {{instance}}'  # the pod is the operator's word; others have the instance alone
QUANTILES = (('0.5', 'p50'), ('0.95', 'p95'), ('0.99', 'p99'))
RED, YELLOW, GREEN, BLUE = 'red', 'orange', 'green', 'blue'


# ---- queries

def rate(metric, by, labels=RULE, window=WINDOW):
    """How much a second, added up."""
    grouping = f' by ({by})' if by else ''
    return f'sum{grouping} (rate({metric}{{{labels}}}{window}))'


def quantile(q, metric, by='', labels=RULE, window=WINDOW):
    by = f'le, {by}' if by else 'le'
    return f'histogram_quantile({q}, {rate(metric + "_bucket", by, labels, window)})'


def quantiles(metric, labels=RULE):
    return [query(quantile(q, metric, labels=labels), name) for q, name in QUANTILES]


def errors(by, window):
    """Errors that are not the client's."""
    return rate('sluice_request_errors_total', by, f'{RULE},origin!="client"', window)


def error_part(by=''):
    """Of all requests, over the whole time shown; 0 where there are requests and no error."""
    everything = rate('sluice_requests_total', by, window=RANGE)
    return f'({errors(by, RANGE)} or 0 * {everything}) / {everything}'


# The team of every rule that had a request, one each: while a label changes, proxies may tell two.
TEAM = (f'topk by ({BY_RULE}) (1, max by ({BY_RULE}, team) (sluice_route_info{{{RULE}}}'
        f' and on ({BY_RULE}) sluice_requests_total{{{RULE}}})'
        f' or on ({BY_RULE}) (0 * sum by ({BY_RULE}) (sluice_cpu_seconds_total{{{RULE}}}) + 1))')


def with_team(expr):
    return f'{expr} * on ({BY_RULE}) group_left (team) {TEAM}'


def traffic(by):
    """Bytes a second, both ways."""
    return ' + '.join(rate(f'sluice_{what}_bytes_total', by, window=RANGE) for what in ('request', 'response'))


def cost(by):
    """What a month costs that is as the time shown: CPU time, memory by the part of the CPU time, traffic."""
    cpu = rate('sluice_cpu_seconds_total', by, window=RANGE)
    all_cpu = rate('sluice_cpu_seconds_total', '', ANY, RANGE)
    memory = 'avg_over_time(sum(sluice_memory_bytes{kind="resident"})[$__range:$__interval])'
    return (f'{MONTH_HOURS} * (\n'
            f'  {cpu} * ($core_hour + $gib_hour * scalar({memory} / {all_cpu}) / 2^30)\n'
            f'  + ({traffic(by)}) * 3600 / 2^30 * $gib_traffic\n)')


# ---- panels

def query(expr, legend='', instant=False):
    target = {'datasource': SOURCE, 'expr': expr, 'legendFormat': legend or '__auto',
              'range': not instant, 'instant': instant}
    if instant:
        target['format'] = 'table'
    return target


def one(expr):
    """One number, of the whole time shown."""
    return {**query(expr, instant=True), 'format': 'time_series'}


def runbook(*sections):
    return 'Runbook: ' + ', '.join(f'[{s}]({RUNBOOK}#{s.lower()})' for s in sections) + '.'


def steps(*values):
    """(colour, from this value on) ...; the first is from minus infinity on."""
    return {'mode': 'absolute', 'steps': [{'color': c, 'value': v} for c, v in values]}


def panel(kind, title, width, height, unit, description, targets, options, defaults=None, custom=None):
    """Ids, places and refIds come later."""
    targets = targets if isinstance(targets, list) else [targets]
    config = {'unit': unit, 'color': {'mode': 'palette-classic'}, 'mappings': [],
              'thresholds': steps((GREEN, None)), **(defaults or {})}
    if custom is not None:
        config['custom'] = custom
    return {'type': kind, 'title': title, 'description': description, 'datasource': SOURCE, 'targets': targets,
            'gridPos': {'w': width, 'h': height}, 'options': options, 'transformations': [],
            'fieldConfig': {'defaults': config, 'overrides': []}}


def stat(title, unit, expr, description, thresholds=None, width=4, **defaults):
    return panel('stat', title, width, 4, unit, description, one(expr),
                 {'colorMode': 'value', 'graphMode': 'none', 'justifyMode': 'auto', 'orientation': 'auto',
                  'textMode': 'auto', 'reduceOptions': {'calcs': ['lastNotNull'], 'fields': '', 'values': False}},
                 {'color': {'mode': 'thresholds'}, 'thresholds': thresholds or steps((BLUE, None)), **defaults})


def lines(title, unit, targets, description, width=12, height=8, stack=False, thresholds=None, **defaults):
    custom = {'drawStyle': 'line', 'lineInterpolation': 'linear', 'lineWidth': 1, 'fillOpacity': 25 if stack else 0,
              'showPoints': 'auto', 'spanNulls': False, 'axisPlacement': 'auto', 'scaleDistribution': {'type': 'linear'},
              'stacking': {'mode': 'normal' if stack else 'none', 'group': 'A'},
              'thresholdsStyle': {'mode': 'line' if thresholds else 'off'}}
    return panel('timeseries', title, width, height, unit, description, targets,
                 {'legend': {'displayMode': 'table', 'placement': 'bottom', 'showLegend': True, 'calcs': ['lastNotNull', 'max']},
                  'tooltip': {'mode': 'multi', 'sort': 'desc'}},
                 {'min': 0, **({'thresholds': thresholds} if thresholds else {}), **defaults}, custom)


def table(title, columns, description, labels, height=9, width=24, sort=None, descending=True):
    """columns: (name, unit, expr). One row for each set of `labels`, which all of them have; a column that is
    None is only asked for its labels."""
    made = panel('table', title, width, height, 'short', description, [query(expr, instant=True) for _, _, expr in columns],
                 {'showHeader': True, 'cellHeight': 'sm',
                  'footer': {'show': False, 'reducer': ['sum'], 'fields': ''},
                  'sortBy': [{'displayName': sort, 'desc': descending}] if sort else []},
                 custom={'align': 'auto', 'cellOptions': {'type': 'auto'}, 'inspect': False, 'filterable': True})
    values = [f'Value #{letter(i)}' if len(columns) > 1 else 'Value' for i in range(len(columns))]
    hidden = {'Time': True, **{v: True for v, c in zip(values, columns) if c[0] is None}}
    order = {name: i for i, name in enumerate([*labels, *values])}
    names = {v: c[0] for v, c in zip(values, columns) if c[0]}
    made['transformations'] = [
        {'id': 'merge', 'options': {}},
        {'id': 'organize', 'options': {'excludeByName': hidden, 'indexByName': order, 'renameByName': names}}]
    made['fieldConfig']['overrides'] = [
        {'matcher': {'id': 'byName', 'options': name}, 'properties': [{'id': 'unit', 'value': unit}]}
        for name, unit, _ in columns if name]
    return made


def by_route(title, unit, expr, description):
    """The ten routes that have most of something."""
    return lines(title, unit, query(f'topk(10, {expr})', '{{namespace}}/{{route}}'), description)


def letter(i):
    return chr(ord('A') + i)


# ---- rows

OVERVIEW = [
    stat('Requests', 'reqps', rate('sluice_requests_total', '', window=RANGE),
         'Requests a second, on average over the time shown. A fall is as telling as a rise: look at what clients and DNS do.'),
    stat('Errors', 'percentunit', error_part(),
         'The part of all requests that ended in an error whose origin is the gateway, an authentication service or a backend; '
         'what clients do wrong is not in it. Next: errors by origin, then by reason. '
         + runbook('SluiceGatewayErrorsFast', 'SluiceAuthErrorsFast', 'SluiceUpstreamErrorsFast'),
         steps((GREEN, None), (YELLOW, 0.001), (RED, 0.01))),
    stat('p99', 's', quantile('0.99', 'sluice_request_duration_seconds', window=RANGE),
         'One request in a hundred takes longer, first byte in to last byte out. The two beside it say whose time that is.'),
    stat('p99 of the gateway', 's', quantile('0.99', 'sluice_gateway_duration_seconds', window=RANGE),
         'What Sluice itself adds, waiting for nobody. Above some milliseconds its workers have too much to do. '
         + runbook('SluiceGatewaySlow'), steps((GREEN, None), (YELLOW, 0.005), (RED, 0.05))),
    stat('p99 of the backends', 's', quantile('0.99', 'sluice_upstream_duration_seconds', window=RANGE),
         'From the request sent to the head of the answer. It is the backend that is slow: tell its team. '
         + runbook('SluiceUpstreamSlow')),
    stat('Proxies', 'short', 'count(sluice_build_info and on (instance) sluice_loop_lag_seconds{worker="0"})',
         'Proxies that Prometheus reaches. Fewer than there should be: look at the pods.'),
    lines('Rate', 'reqps', query(rate('sluice_requests_total', 'code'), '{{code}}'),
          'Requests a second by the code that the client got. 499 stands for clients that went away.', stack=True),
    lines('Errors by origin', 'percentunit',
          query(rate('sluice_request_errors_total', 'origin') + ' / on () group_left ' + rate('sluice_requests_total', ''),
                '{{origin}}'),
          'Answers that are not the backend\'s own, as a part of all requests, by whose fault they are: client (nothing to do, '
          'unless it is new), gateway (ours), auth (an identity service or its keys), upstream (the backend). '
          + runbook('SluiceGatewayErrorsFast', 'SluiceAuthErrorsFast', 'SluiceUpstreamErrorsFast'), stack=True),
    lines('Duration', 's', quantiles('sluice_request_duration_seconds'),
          'The whole request as the client sees it; slow clients are in it. Compare with the two beside it.', 8),
    lines('Gateway', 's', quantiles('sluice_gateway_duration_seconds'),
          'The gateway\'s own part of that duration. When it rises, look at saturation. ' + runbook('SluiceGatewaySlow'), 8),
    lines('Upstream', 's', quantiles('sluice_upstream_duration_seconds'),
          'The backend\'s part: request sent to head of the answer, of the last attempt. When it rises and the gateway\'s does '
          'not, it is the backend. ' + runbook('SluiceUpstreamSlow'), 8),
]

ROUTES = [
    table('Routes', [
        (None, None, TEAM),
        ('rate', 'reqps', rate('sluice_requests_total', BY_RULE, window=RANGE)),
        ('errors', 'percentunit', error_part(BY_RULE)),
        ('p99', 's', quantile('0.99', 'sluice_request_duration_seconds', BY_RULE, window=RANGE)),
        ('gateway p99', 's', quantile('0.99', 'sluice_gateway_duration_seconds', BY_RULE, window=RANGE)),
        ('upstream p99', 's', quantile('0.99', 'sluice_upstream_duration_seconds', BY_RULE, window=RANGE)),
    ], 'Each rule over the time shown: sort by what hurts. Errors are those of gateway, auth and upstream. The team is the label '
       '`sluice.dev/team` of the object or its namespace. `none` is every request that no rule matched, `other` what is above the '
       'budget of series.', ['namespace', 'route', 'rule', 'team'], sort='rate'),
    by_route('Rate by route', 'reqps', rate('sluice_requests_total', ROUTE), 'The ten busiest routes.'),
    by_route('p99 by route', 's', quantile('0.99', 'sluice_request_duration_seconds', ROUTE),
             'The ten slowest routes. The table says whose time it is.'),
    by_route('Retries by route', 'reqps', rate('sluice_request_retries_total', ROUTE),
             'Attempts after the first. Many of them hide a backend that fails: look at its responses.'),
    lines('Traffic', 'Bps', [query(rate('sluice_request_bytes_total', ''), 'from clients'),
                             query(rate('sluice_response_bytes_total', ''), 'to clients')],
          'Bytes from and to clients, heads included.'),
]

ERRORS = [
    lines('By reason', 'reqps', query(rate('sluice_request_errors_total', 'origin, reason'), '{{origin}} {{reason}}'),
          'Every answer that is not the backend\'s own has one reason; each is a section of the '
          f'[runbook]({RUNBOOK}), with the command that shows its cause.', stack=True),
    table('By route', [
        ('errors', 'reqps', f'topk(50, {rate("sluice_request_errors_total", BY_RULE + ", origin, reason", window=RANGE)} > 0)')],
          'Where the errors of the time shown come from, the most of them first. The reason is the title of its section in the '
          f'[runbook]({RUNBOOK}).', ['namespace', 'route', 'rule', 'origin', 'reason'], 8, 12, 'errors'),
]

BACKENDS = [
    lines('Responses by code', 'reqps',
          query(rate('sluice_upstream_responses_total', 'backend, code', ANY), '{{backend}} {{code}}'),
          'What backends answered themselves: in a split it shows which side fails. ' + runbook('SluiceBackendErrors'), stack=True),
    lines('Latency (p99)', 's',
          query(quantile('0.99', 'sluice_upstream_response_seconds', 'backend', ANY), '{{backend}}'),
          'Request sent to head of the answer, whatever route it came by. ' + runbook('SluiceUpstreamSlow')),
    lines('Open connections', 'short', query('sum by (backend) (sluice_upstream_connections)', '{{backend}}'),
          'A steady climb without more requests: the backend answers more slowly. ' + runbook('connect_refused', 'no_endpoint'), 8),
    lines('New connections', 'ops', query(rate('sluice_upstream_connects_total', 'backend', ANY), '{{backend}}'),
          'Connections that requests had to make. Many of them: the backend closes idle ones too early; '
          'its keep-alive should be longer than the gateway\'s.', 8),
    lines('Reuse', 'percentunit', query(
        rate('sluice_upstream_requests_total', 'backend', 'reused="true"') + ' / '
        + rate('sluice_upstream_requests_total', 'backend', ANY), '{{backend}}'),
          'The part of all requests that found a connection open. Under steady load it is near 100 %.', 8, max=1),
    lines('TLS handshakes with backends', 'ops',
          query(rate('sluice_upstream_tls_handshakes_total', 'backend, result', ANY), '{{backend}} {{result}}'),
          'Backends with TLS alone. `failed`: it could not prove who it is, or did not accept us. ' + runbook('tls_failed'), 24, 6),
]

AUTH = [
    lines('Decisions', 'reqps',
          query(rate('sluice_auth_decisions_total', 'policy, method, result', ANY), '{{policy}} {{method}} {{result}}'),
          'What AuthPolicies decided, by the method that knew the caller (none, where nobody did). `dryDeny` only says what '
          'would be refused. A jump of `deny` is an attack or a changed secret. ' + runbook('unauthenticated', 'forbidden'),
          stack=True),
    lines('Time spent deciding (p99)', 's',
          query(quantile('0.99', 'sluice_auth_duration_seconds', 'policy, method', ANY), '{{policy}} {{method}}'),
          'How long requests waited for a service that decides, or for the hash of a password; what is decided from memory is not '
          'in it. It is neither the gateway\'s time nor the backend\'s. ' + runbook('auth_service_timeout', 'auth_service_failed')),
]

LIMITS = [
    lines('Decisions of rate limits', 'reqps',
          query(rate('sluice_rate_limit_decisions_total', 'policy, limit, result', ANY), '{{policy}} {{limit}} {{result}}'),
          '`refused` got a 429; `dry_refused` is only counted. Is it one caller, or is the limit too low? ' + runbook('rate_limited'),
          stack=True),
    lines('Counted together', 'reqps',
          query(rate('sluice_rate_limit_shared_total', 'policy, limit', ANY), '{{policy}} {{limit}}'),
          'Requests that were counted together with other callers, because every place was taken: many callers at once, '
          'perhaps made up. ' + runbook('rate_limited'), 6),
    lines('Shares of the fleet', 'percentunit',
          query('max by (pod, instance) (sluice_rate_limit_share_millionths) / 1e6', POD_NAME),
          'What each proxy may allow of a limit over the fleet that has no share of its own there. Together they are 100 %.', 6, max=1),
]

SATURATION = [
    lines('CPU per worker', 'percentunit',
          query('sum by (pod, instance) (rate(process_cpu_seconds_total[$__rate_interval]) and on (instance) sluice_loop_lag_seconds)\n'
                '  / count by (pod, instance) (sluice_loop_lag_seconds)', POD_NAME),
          'How busy a worker is, on average. Above 80 % requests wait: add proxies, or CPU. ' + runbook('SluiceWorkersBusy'),
          8, thresholds=steps((GREEN, None), (RED, 0.8))),
    lines('Loop lag', 's', query('max by (pod, instance, worker) (sluice_loop_lag_seconds)', '{{pod}} {{instance}} {{worker}}'),
          'The longest turn of each worker in the last 15 seconds: so long an event may have waited. More than a few milliseconds '
          'while the CPU is idle: something else takes the processor. ' + runbook('SluiceGatewaySlow'), 8),
    lines('Requests in progress', 'short', query('sum by (kind) (sluice_streams)', '{{kind}}'),
          '`waiting`: for a connection to their backend, which is at its limit. ' + runbook('SluiceOverloaded', 'overloaded'), 8),
    lines('Connections', 'short', query('sum by (kind) (sluice_connections)', '{{kind}}'),
          'Clients, those of them that speak HTTP/2, connections with a request to a backend and idle ones.', 8),
    lines('Memory', 'bytes', [query('max by (pod, instance) (sluice_memory_bytes{kind="resident"})', POD_NAME),
                              query('vector($memory_limit) > 0', 'limit')],
          'Resident memory of each proxy against the limit of its container. Near it, requests are turned away; at it, the '
          'kernel ends the process. ' + runbook('overloaded'), 8),
    lines('Logs', 'ops', [query('sum (rate(sluice_log_lines_total[$__rate_interval]))', 'written'),
                          query('sum (rate(sluice_log_dropped_total[$__rate_interval]))', 'dropped')],
          'Lines of access and audit log. Dropped ones: whoever reads the log is too slow. Requests never wait for it.', 8),
]

CONFIGURATION = [
    table('Revision of each proxy', [(None, None, 'max by (pod, instance, revision) (sluice_config_revision_info)')],
          'The same for all when all are current. One that is behind: see proxies by state. ' + runbook('SluiceProxyBehind'),
          ['pod', 'instance', 'revision'], 8, 12),
    lines('Propagation', 's', quantiles('sluice_controller_propagation_seconds', ANY),
          'From the change of an object until every ready proxy serves it.', 6),
    lines('Age', 's', query('max by (pod, instance) (sluice_config_age_seconds)', POD_NAME),
          'Since a controller last said that the configuration is current. It climbs when none is reached; proxies go on with what '
          'they have. ' + runbook('SluiceControllerUnreachable'), 6),
    lines('Proxies by state', 'short', query('max by (state) (sluice_controller_proxies)', '{{state}}'),
          '`current` serves what is wanted, `waiting` has it on its way, `behind` has not taken it for 10 s, `starting` serves '
          'nothing yet. ' + runbook('SluiceProxyBehind'), 8),
    lines('Rejected objects', 'short',
          query('sum by (pod, instance) (increase(sluice_config_rejected_total[$__rate_interval]))', POD_NAME),
          'Objects that a proxy could not use and sent back; the log of the controller names the first, and why. '
          + runbook('SluiceConfigRejected'), 8),
    lines('Leader', 'short', query('max by (pod, instance) (sluice_controller_leader)', POD_NAME),
          'One controller writes statuses: exactly one line is at 1.', 8),
    lines('Objects', 'short', query('max by (kind) (sluice_config_objects)', '{{kind}}'),
          'What the proxies have. A sudden fall: somebody deleted much.', 12),
    lines('Compile and push (p99)', 's', [
        query(quantile('0.99', f'sluice_controller_{what}_seconds', labels=ANY), what) for what in ('compile', 'push')],
          'What the controller needs to compute a change, and to publish it.', 12),
    table('Refused resources', [(None, None, 'max by (kind, namespace, name, reason) (sluice_controller_refused)')],
          'Objects that the controller does not accept, and why; their condition Accepted says the same. '
          + runbook('SluiceResourcesRefused'), ['kind', 'namespace', 'name', 'reason'], 6),
]

CERTIFICATES = [
    table('Days left', [('left', 'dtdurations', 'min by (secret) (sluice_certificate_expiry_timestamp_seconds) - time()')],
          'Until each certificate ends. Whoever renews it (cert-manager, as a rule) has not, when it is below two weeks. '
          + runbook('SluiceCertificateExpiring', 'SluiceCertificateExpiresSoon'), ['secret'], 8, 12, 'left', False),
    lines('TLS handshakes', 'ops', query('sum by (result) (rate(sluice_tls_handshakes_total[$__rate_interval]))', '{{result}}'),
          '`done` and `resumed` are good. `shed`: too many at once; `no_certificate`: for a name that has none; '
          '`client_refused`: the client does not accept our certificate. ' + runbook('SluiceCertificateExpiresSoon')),
]
CERTIFICATES[0]['fieldConfig']['overrides'][0]['properties'] += [
    {'id': 'thresholds', 'value': steps((RED, None), (YELLOW, 3 * 86400), (GREEN, 14 * 86400))},
    {'id': 'custom.cellOptions', 'value': {'type': 'color-text'}}, {'id': 'color', 'value': {'mode': 'thresholds'}}]

HOW = (' CPU time is what each worker really used, divided by the work it did for each route; memory is divided as the CPU '
       'time is; traffic counts both directions. All of it at the prices above, which are values of the chart. What is '
       'reserved and not used is nobody\'s, and not in it.')
COST = [
    stat('A month', CURRENCY, f'sum ({cost(ROUTE)})',
         f'What {MONTH_HOURS} hours like the time shown cost, for the routes that are selected.' + HOW, width=6, decimals=2),
    stat('A million requests', CURRENCY,
         f'sum ({cost(ROUTE)}) / {MONTH_HOURS * 3600} / {rate("sluice_requests_total", "", window=RANGE)} * 1e6',
         'The same, for a million requests.' + HOW + ' ' + runbook('SluiceCostUp'), width=6, decimals=2),
    stat('CPU time', 'short', rate('sluice_cpu_seconds_total', '', window=RANGE),
         'Cores that are busy, on average over the time shown.', width=6, decimals=3),
    stat('Traffic', 'Bps', traffic(''),
         'Bytes from and to clients, on average over the time shown.', width=6),
    table('By route', [
        (None, None, f'max by (namespace, route, team) ({TEAM})'),
        ('CPU seconds', 's', f'sum by ({ROUTE}) (increase(sluice_cpu_seconds_total{{{RULE}}}{RANGE}))'),
        ('bytes', 'bytes', f'sum by ({ROUTE}) (increase(sluice_request_bytes_total{{{RULE}}}{RANGE}))'
                           f' + sum by ({ROUTE}) (increase(sluice_response_bytes_total{{{RULE}}}{RANGE}))'),
        ('CPU for a million', 's', f'1e6 * {rate("sluice_cpu_seconds_total", ROUTE, window=RANGE)}'
                                   f' / {rate("sluice_requests_total", ROUTE, window=RANGE)}'),
        ('a month', CURRENCY, cost('namespace, route')),
    ], 'CPU seconds and bytes of the time shown; CPU seconds for a million requests; and what a month costs. `none` are '
       'requests that no rule matched, and seconds without any.' + HOW + ' ' + runbook('SluiceCostUp'),
          ['namespace', 'route', 'team'], 9, 16, 'a month'),
    table('By team', [('a month', CURRENCY, f'sum by (team) ({with_team("(" + cost(BY_RULE) + ")")})')],
          'The same by team: the label `sluice.dev/team` of a route\'s object, or of its namespace. Without a name: routes '
          'without a team, and what is nobody\'s.', ['team'], 9, 8, 'a month'),
]

ROWS = [('Overview', OVERVIEW), ('By route', ROUTES), ('Errors by origin and reason', ERRORS), ('Backends', BACKENDS),
        ('Authentication', AUTH), ('Rate limits', LIMITS), ('Saturation', SATURATION), ('Configuration', CONFIGURATION),
        ('Certificates', CERTIFICATES), ('Cost', COST)]


# ---- the dashboard

def choice(name, label, expr):
    """A variable: several of the values that a label has, or all."""
    return {'name': name, 'label': label, 'type': 'query', 'datasource': SOURCE,
            'query': {'query': expr, 'refId': f'{name}-values'}, 'refresh': 2, 'sort': 1, 'regex': '', 'hide': 0,
            'skipUrlSync': False, 'multi': True, 'includeAll': True, 'allValue': '.*', 'options': [],
            'current': {'selected': True, 'text': ['All'], 'value': ['$__all']}}


def number(name, label, value, description):
    """A variable: a number that may be changed on the page."""
    option = {'selected': True, 'text': value, 'value': value}
    return {'name': name, 'label': label, 'description': description, 'type': 'textbox', 'query': value, 'hide': 0,
            'skipUrlSync': False, 'options': [option], 'current': option}


VARIABLES = [
    {'name': 'datasource', 'label': 'Data source', 'type': 'datasource', 'query': 'prometheus', 'refresh': 1, 'regex': '',
     'hide': 0, 'skipUrlSync': False, 'multi': False, 'includeAll': False, 'options': []},
    choice('namespace', 'Namespace', 'label_values(sluice_requests_total, namespace)'),
    choice('route', 'Route', 'label_values(sluice_requests_total{namespace=~"$namespace"}, route)'),
    number('core_hour', 'Core-hour', '0.04', 'Price of a core for an hour.'),
    number('gib_hour', 'GiB-hour', '0.005', 'Price of a GiB of memory for an hour.'),
    number('gib_traffic', 'GiB of traffic', '0.05', 'Price of a GiB from or to clients.'),
    number('memory_limit', 'Memory limit', '536870912', 'Of a proxy, in bytes; 0: none.'),
]


def placed(rows):
    """Panels one beside the other, from left to right, in the grid of 24 columns; ids and refIds."""
    made, y = [], 0
    for title, panels in rows:
        made.append({'type': 'row', 'title': title, 'collapsed': False, 'panels': [],
                     'gridPos': {'x': 0, 'y': y, 'w': COLUMNS, 'h': 1}})
        x, y, tallest = 0, y + 1, 0
        for p in panels:
            w, h = p['gridPos']['w'], p['gridPos']['h']
            if x + w > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            targets = [{**t, 'refId': letter(i)} for i, t in enumerate(p['targets'])]
            made.append({**p, 'targets': targets, 'gridPos': {'x': x, 'y': y, 'w': w, 'h': h}})
            x, tallest = x + w, max(tallest, h)
        y += tallest
    return [{'id': i + 1, **p} for i, p in enumerate(made)]


def dashboard():
    return {
        'id': None, 'uid': 'sluice', 'title': 'Sluice', 'tags': ['sluice'], 'editable': True, 'graphTooltip': 1,
        'description': f'Rate, errors and duration, the gateway against its backends. What to do is in the [runbook]({RUNBOOK}).',
        'schemaVersion': 36, 'version': 1, 'style': 'dark', 'timezone': 'browser', 'weekStart': '', 'fiscalYearStartMonth': 0,
        'liveNow': False, 'refresh': '30s', 'time': {'from': 'now-1h', 'to': 'now'}, 'timepicker': {},
        'annotations': {'list': [{
            'name': 'Annotations & Alerts', 'builtIn': 1, 'type': 'dashboard', 'enable': True, 'hide': True,
            'iconColor': 'rgba(0, 211, 255, 1)', 'datasource': {'type': 'grafana', 'uid': '-- Grafana --'}}]},
        'links': [{'title': 'Runbook', 'type': 'link', 'icon': 'doc', 'url': RUNBOOK, 'tooltip': '', 'tags': [],
                   'asDropdown': False, 'targetBlank': True, 'includeVars': False, 'keepTime': False}],
        'templating': {'list': VARIABLES}, 'panels': placed(ROWS)}


def filled(expr, seconds, window='5s', **chosen):
    """An expression as Grafana asks it, when so many seconds are shown: of all namespaces and routes, or of those chosen."""
    words = {'__interval': '1s', '__rate_interval': window, '__range': f'{seconds}s', 'namespace': '.*', 'route': '.*', **chosen}
    words.update({v['name']: v['query'] for v in VARIABLES if v['type'] == 'textbox'})
    return re.sub(r'\$(\w+)', lambda m: words[m[1]], expr)


def text():
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + '\n'
