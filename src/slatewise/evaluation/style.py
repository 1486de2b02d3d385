"""The look of the HTML report: one style sheet for light and dark, without any outside resource."""

CSS = """
:root { color-scheme: light dark; --ink: #22262b; --soft: #5d6670; --paper: #fbfaf8; --card: #ffffff; --grid: #dcdad5;
  --faint: #f1efeb; --accent: #b8482a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7e5e1; --soft: #a3a8ae; --paper: #16181b; --card: #1e2125;
  --grid: #3a3f45; --faint: #262a2f; --accent: #f0906f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
p { margin: .25rem 0 .75rem; max-width: 46rem; }
.soft { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .75rem; margin: 1.5rem 0; }
.tile { background: var(--card); border: 1px solid var(--grid); border-radius: .6rem; padding: .8rem 1rem; }
.tile b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: .85rem; }
.scroll { overflow-x: auto;
  background: var(--card); border: 1px solid var(--grid); border-radius: .6rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .45rem .75rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--grid); }
thead th { border-top: 0; color: var(--soft); font-weight: 600; }
th:first-child { text-align: left; font-weight: 500; }
tr.final th, tr.final td { font-weight: 700; color: var(--accent); }
tr.baseline th, tr.baseline td { color: var(--soft); }
td small { color: var(--soft); font-weight: 400; }
figure { margin: 0; background: var(--card);
  border: 1px solid var(--grid); border-radius: .6rem; padding: .75rem 1rem; }
figure svg { display: block; width: 100%; height: auto; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); gap: 0 1.25rem; }
code { background: var(--faint); border-radius: .3rem; padding: .1rem .35rem; }
li { margin: .2rem 0; }
"""
