"""The report on many runs as one HTML file that a manager can read, mail and print."""

import json

from jinja2 import Environment

from lowtide.money import show_usd
from lowtide.report.advice_taken import Taken
from lowtide.report.document import SAVED_IS
from lowtide.report.markdown import headline, month_rows, rows, run_rows, title, waste_rows
from lowtide.report.page import STYLE
from lowtide.report.plots import plots, today_in
from lowtide.report.records import CostReport
from lowtide.words import show_duration

_RUNS_SHOWN = 50


def as_html(report: CostReport, *, plotly_js: str, advice: tuple[Taken, ...] = ()) -> str:
    """Return a report as one HTML file without outside references.

    Args:
        report: One with cells.
        plotly_js: The script that draws; it travels inside the file.
        advice: What became of recommendations.

    Returns:
        The file's text.
    """
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["usd"] = show_usd
    environment.filters["duration"] = show_duration
    # "</" would end the script early, whatever it stands in.
    drawn = json.dumps(plots(report)).replace("</", "<\\/")
    return environment.from_string(_PAGE).render(
        report=report,
        title=title(report),
        headline=headline(report),
        groups=rows(report),
        waste=waste_rows(report),
        months=month_rows(report),
        runs=run_rows(report, shown_max=_RUNS_SHOWN),
        more=report.runs_left_out + max(len(report.runs) - _RUNS_SHOWN, 0),
        drawn=list(plots(report)),
        plots=drawn,
        plotly_js=plotly_js,
        advice=advice,
        made=today_in(report),
        saved_is=SAVED_IS,
        style=STYLE,
    )


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{{ title }}</title>
<style>{{ style | safe }}</style>
</head>
<body>
{% macro table(found, numbers) %}
{% if found %}
<div class="scroll"><table>
<tr>{% for name in found[0] %}<th{% if name in numbers %} class="n"{% endif %}>{{ name }}</th>
{% endfor %}</tr>
{% for row in found %}
<tr>{% for name, value in row.items() %}<td{% if name in numbers %} class="n"{% endif %}>
{{- value }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
{% else %}
<p>Nothing.</p>
{% endif %}
{% endmacro %}
<h1>{{ title }}</h1>
<p>{{ headline }}</p>
<p class="dim">Made {{ made }} from the journal; times are of {{ report.ask.zone }}.</p>
{% if not report.is_empty %}
{% set totals = report.totals %}
<div class="cards">
<div class="card"><b>{{ totals.charged_usd | usd }}</b><span>charged</span></div>
<div class="card"><b>{{ totals.held_usd | usd }}</b><span>still held</span></div>
<div class="card"><b>{{ totals.forecast_usd | usd if totals.forecast_usd is not none else "unknown"
}}</b><span>was forecast</span></div>
<div class="card"><b>{{ totals.saved_usd | usd if totals.saved_usd is not none else "unknown" }}</b>
<span>saved*</span></div>
<div class="card"><b>{{ totals.wasted_usd | usd }}</b><span>wasted, as far as known</span></div>
<div class="card"><b>{{ totals.waited_s | duration if totals.waited_s is not none else "unknown" }}
</b><span>waited, all runs</span></div>
</div>
<p class="dim">* {{ saved_is }}.</p>

{% macro plot(name, heading) %}
{% if name in drawn %}
<section><h2>{{ heading }}</h2><div class="plot" id="{{ name }}"></div></section>
{% endif %}
{% endmacro %}
{{ plot("by-day", "Cost by day and tariff window") }}
<div class="plots">
{{ plot("by-group", "Where the money went, by " ~ report.ask.by.value) }}
{{ plot("burn-down", "What is left of the budgets") }}
{{ plot("forecasts", "Forecasts against what happened") }}
<section><h2>Money that bought nothing</h2>{{ table(waste, ["USD"]) }}
<h2>By month</h2>{{ table(months, ["runs", "charged", "change"]) }}</section>
</div>
<section><h2>By {{ report.ask.by.value }}</h2>
{{ table(groups, ["runs", "charged", "held", "forecast", "saved*", "wasted", "waited"]) }}</section>
<section><h2>Recommendations, taken and not</h2>
{% if advice %}
<div class="scroll"><table><tr><th>recommended</th><th class="n">times</th><th class="n">taken</th>
<th class="n">not known</th><th class="n">would have saved</th></tr>
{% for each in advice %}
<tr><td>{{ each.kind }}</td><td class="n">{{ each.times }}</td><td class="n">{{ each.taken }}</td>
<td class="n">{{ each.undecided }}</td><td class="n">{{ each.saving_usd | usd }}</td></tr>
{% endfor %}
</table></div>
<p class="dim">Taken: the job's next run changed the key that was named. Savings are estimates of
those not taken; together they are less than their sum.</p>
{% else %}
<p>Nothing was recommended to these runs.</p>
{% endif %}</section>
<section><h2>The dearest runs</h2>{{ table(runs, ["duration", "cost", "accuracy"]) }}
{% if more %}<p class="dim">and {{ more }} more; <code>--format json</code> has them.</p>{% endif %}
</section>
<script>{{ plotly_js | safe }}</script>
<script>
const PLOTS = {{ plots | safe }};
const LIGHT = ["#0b6bb5", "#d97706", "#2f855a", "#8e44ad", "#b83280", "#5c6b7a"];
const DARK = ["#6cb6ef", "#f0a35e", "#68d391", "#c39bd3", "#f687b3", "#9aa8b5"];
const dark = matchMedia("(prefers-color-scheme: dark)");
function draw(isDark) {
  const palette = isDark ? DARK : LIGHT, ink = isDark ? "#e6edf3" : "#1b2733",
    grid = isDark ? "#34414d" : "#d5dde5";
  for (const [name, plot] of Object.entries(PLOTS)) {
    const data = plot.data.map((trace, at) => {
      const colour = palette[(trace.colour ?? at) % palette.length];
      return {...trace, marker: {color: colour}, line: {...trace.line, color: colour}};
    });
    const axis = {gridcolor: grid, zerolinecolor: grid, linecolor: grid};
    Plotly.react(name, data, {
      ...plot.layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: {color: ink, family: "system-ui, sans-serif", size: 12}, colorway: palette,
      margin: {l: 48, r: 12, t: 8, b: 36}, legend: {orientation: "h", y: 1.02, yanchor: "bottom"},
      xaxis: {...axis, automargin: true, ...plot.layout.xaxis},
      yaxis: {...axis, ...plot.layout.yaxis},
    }, {responsive: true, displayModeBar: false});
  }
}
draw(dark.matches);
dark.addEventListener("change", () => draw(dark.matches));
addEventListener("beforeprint", () => draw(false));
addEventListener("afterprint", () => draw(dark.matches));
</script>
{% endif %}
</body>
</html>
"""
