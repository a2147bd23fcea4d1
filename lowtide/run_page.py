"""The page of one run's report, a Jinja template."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{{ report.job.name }} · {{ report.run }}</title>
<style>{{ style | safe }}
rect.window { fill: var(--mark); } rect.on-demand { fill: var(--mark); }
rect.spot { fill: var(--warm); } text { fill: var(--ink); font-size: 11px; }
.key { display: inline-block; width: .8em; height: .8em; border-radius: .15em; }
</style>
</head>
<body>
<h1>{{ report.job.name }}: {{ report.state }}</h1>
<p class="dim">run {{ report.run }} · {{ report.message }} · made
{{ report.made_at.strftime("%Y-%m-%d %H:%M:%S UTC") }}</p>
<div class="cards">
<div class="card"><b>{{ report.charged_usd | usd }}</b><span>charged to {{ report.job.budget.name }}
</span></div>
<div class="card"><b>{{ report.epochs_done }} of {{ report.job.epochs }}</b><span>epochs in
{{ report.legs | length }} leg{{ "" if report.legs | length == 1 else "s" }}</span></div>
{% if report.figures %}
{% set facts = report.figures.facts %}
{% if facts.forecast_usd is not none %}
<div class="card"><b>{{ facts.forecast_usd | usd }}</b><span>was forecast (P50)</span></div>
{% endif %}
{% if report.figures.saved_usd is not none %}
<div class="card"><b>{{ report.figures.saved_usd | usd }}</b><span>saved against run-now on demand,
a counterfactual</span></div>
{% endif %}
<div class="card"><b>{{ report.figures.wasted.total_usd | usd }}</b><span>wasted, as far as
known</span></div>
{% if report.figures.waited_s is not none %}
<div class="card"><b>{{ report.figures.waited_s | duration }}</b><span>waited</span></div>
{% endif %}
{% endif %}
</div>

<section><h2>The plan, and what else there was</h2>
{% if report.ways %}
<div class="scroll"><table>
<tr><th>way</th><th class="n">P10</th><th class="n">P50</th><th class="n">P90</th>
<th>what it does and assumes</th></tr>
{% for way in report.ways %}
<tr><td>{{ way.kind }}</td><td class="n">{{ way.cost_usd.p10 | usd }}</td>
<td class="n">{{ way.cost_usd.p50 | usd }}</td><td class="n">{{ way.cost_usd.p90 | usd }}</td>
<td class="dim">{{ way.why }}</td></tr>
{% endfor %}
</table></div>
{% else %}
<p>No plan was written down.</p>
{% endif %}</section>

{% if timeline %}
<section><h2>Legs over the prices of their time</h2>
<p class="dim">{{ timeline.start.strftime("%Y-%m-%d %H:%M") }} to
{{ timeline.end.strftime("%Y-%m-%d %H:%M UTC") }};
the darker the stretch, the dearer the hour;
<span class="key" style="background: var(--mark)"></span> on demand
<span class="key" style="background: var(--warm)"></span> spot</p>
<svg viewBox="0 -14 640 74" role="img" aria-label="legs over priced windows">
{% for box in timeline.windows %}
<rect class="window" x="{{ "%.1f" | format(box.x) }}" y="0" width="{{ "%.1f" | format(box.width) }}"
 height="56" opacity="{{ "%.2f" | format(0.06 + 0.22 * box.strength) }}"><title>{{ box.label }}
</title></rect>
{% if box.width > 70 %}<text x="{{ "%.1f" | format(box.x + 3) }}" y="-3">{{ box.label }}</text>
{% endif %}
{% endfor %}
{% for box in timeline.legs %}
<rect class="{{ box.kind }}" x="{{ "%.1f" | format(box.x) }}" y="16" rx="3"
 width="{{ "%.1f" | format(box.width) }}" height="24"><title>{{ box.label }}, {{ box.kind }}
</title></rect>
{% if box.width > 40 %}<text x="{{ "%.1f" | format(box.x + 5) }}" y="52">{{ box.label }}</text>
{% endif %}
{% endfor %}
</svg></section>
{% endif %}

<div class="plots">
<section><h2>Metric by epoch: {{ report.job.metric.name }}</h2>
{% if metric %}
<p class="dim">from {{ "%.4f" | format(metric.low) }} to {{ "%.4f" | format(metric.high) }}</p>
<svg viewBox="0 -4 640 168" role="img" aria-label="metric by epoch">
<polyline points="{{ metric.points }}" fill="none" stroke="var(--mark)" stroke-width="2.5"/>
</svg>
{% else %}
<p>No value of it was logged.</p>
{% endif %}</section>

{% if forecast %}
<section><h2>Forecast of the whole cost, as it moved</h2>
<p class="dim">P10 to P90 with P50, after each epoch; dashed: what it came to. The upper edge is
${{ "%.4f" | format(forecast.top_usd) }}.</p>
<svg viewBox="0 -4 640 168" role="img" aria-label="forecast by epoch">
<polygon points="{{ forecast.area }}" fill="var(--band)" stroke="none"/>
<polyline points="{{ forecast.middle }}" fill="none" stroke="var(--mark)" stroke-width="2"/>
<line x1="0" x2="640" y1="{{ "%.1f" | format(forecast.came_to_y) }}"
 y2="{{ "%.1f" | format(forecast.came_to_y) }}" stroke="var(--warm)" stroke-width="2"
 stroke-dasharray="6 5"/>
</svg></section>
{% endif %}
</div>

<section><h2>Legs</h2>
<div class="scroll"><table>
<tr><th>leg</th><th>flavor</th><th>capacity</th><th>started</th><th>ended</th><th>end</th>
<th class="n">charged</th></tr>
{% for leg in report.legs %}
<tr><td>{{ leg.leg }}</td><td>{{ leg.flavor }}</td><td>{{ leg.capacity.value }}</td>
<td>{{ leg.started_at.strftime("%m-%d %H:%M:%S") if leg.started_at else "never" }}</td>
<td>{{ leg.ended_at.strftime("%m-%d %H:%M:%S") if leg.ended_at else "" }}
{{ "" if leg.measured else "(a bound)" }}</td>
<td>{{ leg.end.value if leg.end else "" }}</td><td class="n">{{ leg.charged_usd }}</td></tr>
{% endfor %}
</table></div></section>

<section><h2>Decisions</h2>
{% if report.decisions %}
<div class="scroll"><table><tr><th>time</th><th>decided</th><th>because</th></tr>
{% for each in report.decisions %}
<tr><td>{{ each.at.strftime("%m-%d %H:%M:%S") }}</td><td>{{ each.decision }}</td>
<td class="dim">{{ each.reason }}</td></tr>
{% endfor %}
</table></div>
{% else %}
<p>None was needed.</p>
{% endif %}</section>

<section><h2>Money, line by line (USD)</h2>
<div class="scroll"><table>
<tr><th>time</th><th>kind</th><th>budget</th><th>leg</th><th>window</th><th>reason</th>
<th class="n">amount</th></tr>
{% for line in report.lines %}
<tr><td>{{ line.at.strftime("%m-%d %H:%M:%S") }}</td><td>{{ line.kind.value }}</td>
<td>{{ line.budget }}</td><td>{{ line.leg or "" }}</td><td>{{ line.window or "" }}</td>
<td class="dim">{{ line.reason }}</td><td class="n">{{ line.amount_usd }}</td></tr>
{% endfor %}
</table></div></section>

<section><h2>Next time</h2>
{% for item in report.recommendations %}
<p><strong>{{ item.description }}</strong><br>
saves {{ item.saving_usd.p50 | usd }} ({{ item.saving_usd.p10 | usd }} to
{{ item.saving_usd.p90 | usd }}), an estimate; confidence {{ item.confidence }}:
{{ item.confidence_reason }}<br>risk: {{ item.risk }}<br><code>{{ item.action }}</code></p>
{% else %}
<p>Nothing to recommend.</p>
{% endfor %}</section>
</body>
</html>
"""
