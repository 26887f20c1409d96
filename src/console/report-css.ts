/** How the report page looks: light and dark, wide and narrow, no external resources. */

/** The page's one style sheet. */
export const REPORT_CSS = `
:root{color-scheme:light dark;--bg:#f6f5f2;--card:#fff;--ink:#1d2429;--soft:#5d6870;--line:#dfe1dd;--grid:#e9eae6;
--accent:#0b6e62;--accent-soft:#d8efe9;--warn:#9a5b00;--warn-soft:#fdf0d8;--lead:#6a58b5;--cell:11,110,98}
@media (prefers-color-scheme:dark){:root{--bg:#13181b;--card:#1b2226;--ink:#e8ebea;--soft:#9aa6ab;--line:#2f393e;--grid:#283136;
--accent:#5cc8b4;--accent-soft:#173a35;--warn:#f0b65a;--warn-soft:#3a2d14;--lead:#ab9cf0;--cell:92,200,180}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;-webkit-text-size-adjust:100%}
main{max-width:1060px;margin:0 auto;padding:2.2rem 1.1rem 4rem}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .3rem;letter-spacing:-.01em}
h2{font-size:1.2rem;margin:0;overflow-wrap:anywhere}
h3{font-size:.95rem;margin:1.6rem 0 .5rem}
p{margin:.35rem 0}
.soft{color:var(--soft)}
.small{font-size:.86rem}
.eyebrow{font-size:.78rem;letter-spacing:.06em;text-transform:uppercase;color:var(--accent);font-weight:650;margin:0 0 .4rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:.8rem;margin:1.3rem 0}
.tile,.card{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tile{padding:.8rem 1rem}
.tile b{display:block;font-size:1.45rem;line-height:1.25;font-variant-numeric:tabular-nums;letter-spacing:-.01em}
.card{padding:1.3rem 1.4rem 1.5rem;margin:1.2rem 0}
.head{display:flex;flex-wrap:wrap;gap:.5rem .8rem;align-items:baseline}
.badge{font-size:.78rem;font-weight:650;padding:.12rem .6rem;border-radius:99px;background:var(--warn-soft);color:var(--warn)}
.badge.ok{background:var(--accent-soft);color:var(--accent)}
.excerpt{border-left:3px solid var(--line);padding-left:.7rem;margin:.6rem 0;color:var(--soft);overflow-wrap:anywhere}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(205px,1fr));gap:.7rem 1.4rem;margin:1rem 0 0}
.facts dt{font-size:.8rem;color:var(--soft)}
.facts dd{margin:0;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:1.2rem 1.8rem;margin-top:.6rem}
figure{margin:0}
figcaption{font-size:.86rem;color:var(--soft);margin-top:.2rem}
svg{display:block;width:100%;height:auto;font:11px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
svg text{fill:var(--soft)}
svg .label{fill:var(--ink);font-weight:600}
svg .grid{stroke:var(--grid)}
svg .axis{stroke:var(--soft)}
svg .target{stroke:var(--warn);stroke-dasharray:4 4}
svg .diagonal{stroke:var(--soft);stroke-dasharray:4 4}
svg .curve{fill:none;stroke:var(--accent);stroke-width:2}
svg .bound{stroke:var(--ink);stroke-width:1.4}
svg .point{fill:var(--card);stroke:var(--ink);stroke-width:1.8}
svg .bin{fill:var(--accent);fill-opacity:.75;stroke:var(--card)}
svg .bar{fill:var(--accent);fill-opacity:.22}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
caption{text-align:left;font-size:.86rem;color:var(--soft);padding-bottom:.35rem}
th,td{text-align:left;padding:.38rem .7rem .38rem 0;border-bottom:1px solid var(--line);vertical-align:top}
thead th{font-size:.8rem;color:var(--soft);font-weight:600}
tbody th{font-weight:500}
.num{text-align:right;white-space:nowrap}
th.num,td.num{padding:.38rem 0 .38rem .7rem}
.no{color:var(--soft)}
.yes{color:var(--accent);font-weight:650}
.matrix{width:auto}
.matrix caption{white-space:nowrap}
.matrix td{text-align:right;min-width:2.6rem;padding:.3rem .5rem;border:1px solid var(--card)}
.matrix thead th{writing-mode:vertical-rl;transform:rotate(180deg);text-align:left;padding:.4rem .2rem;border:0;font-weight:500}
.matrix thead td{border:0}
.matrix tbody th{text-align:right;padding-right:.6rem;border:0}
.matrix .same{color:var(--soft)}
.input{white-space:pre-line;overflow-wrap:anywhere;min-width:14rem}
.reasons{margin:.7rem 0 0;padding-left:1.1rem;font-size:.9rem;color:var(--soft)}
.warning{background:var(--warn-soft);color:var(--warn);border-radius:8px;padding:.5rem .8rem;margin:.9rem 0 0;font-size:.92rem}
details{margin-top:1.1rem}
summary{cursor:pointer;font-weight:600;font-size:.95rem}
footer{margin-top:2rem;color:var(--soft);font-size:.86rem}
@media (max-width:560px){.card .scroll table{font-size:.84rem}main{padding:1.3rem .8rem 3rem}.card{padding:1rem}h1{font-size:1.4rem}.tile b{font-size:1.2rem}
.differences thead{position:absolute;clip-path:inset(50%)}.differences tr{display:block;border-bottom:1px solid var(--line);padding:.5rem 0}
.differences td{display:block;border:0;padding:.1rem 0}.differences td[data-name]::before{content:attr(data-name) ": ";color:var(--soft);font-size:.82rem}}
@media print{body{background:#fff}.card{break-inside:avoid}}
`
