"""The look that both HTML reports share: one file, light and dark, printable, no network."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b2733; --dim: #5c6b7a; --line: #d5dde5;
        --band: #bcd7ee; --mark: #0b6bb5; --warm: #b4540a; --paper: #ffffff; --card: #f4f7fa; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --dim: #9aa8b5; --line: #34414d; --band: #23445f; --mark: #6cb6ef;
          --warm: #f0a35e; --paper: #12181e; --card: #1a222b; } }
@media print {
  :root { color-scheme: light; --ink: #000; --dim: #444; --line: #bbb; --band: #cfe2f3;
          --mark: #0b6bb5; --warm: #b4540a; --paper: #fff; --card: #fff; }
  section { break-inside: avoid; } .scroll { overflow: visible; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 72rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .4rem; }
p { margin: .3rem 0; } .dim, td.dim { color: var(--dim); } .scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line);
         vertical-align: top; }
th { font-weight: 600; color: var(--dim); white-space: nowrap; }
td.n, th.n { text-align: right; white-space: nowrap; }
svg { width: 100%; height: auto; overflow: visible; } code { overflow-wrap: anywhere; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .7rem;
         margin: 1rem 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
        padding: .6rem .8rem; }
.card b { display: block; font-size: 1.35rem; font-weight: 650; }
.card span { color: var(--dim); font-size: .85rem; }
.plot { width: 100%; height: 320px; } .plots { display: grid; gap: 0 2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); }
section { min-width: 0; }
"""
