/** The style of all pages, and its hash for the Content-Security-Policy. */
import { createHash } from 'node:crypto';

export const STYLE = `
:root { color-scheme: light dark; --ink: #1c2430; --soft: #55606f; --paper: #f3f5f8; --card: #fff; --line: #d5dbe3; --field: #8a94a3;
  --accent: #1d5fd1; --on-accent: #fff; --good: #14713d; --good-bg: #e5f5eb; --warn: #8a5300; --warn-bg: #fdf2dc; --bad: #b3261e; --bad-bg: #fcebea }
@media (prefers-color-scheme: dark) { :root { --ink: #e7ebf1; --soft: #a5afbd; --paper: #12161c; --card: #1b212a; --line: #343d4a; --field: #778294;
  --accent: #7fb0ff; --on-accent: #0b1730; --good: #74d69c; --good-bg: #12301f; --warn: #f1c06b; --warn-bg: #352810; --bad: #ff9a92; --bad-bg: #3a1a18 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.55 system-ui, sans-serif }
main { max-width: 46rem; margin: 0 auto; padding: 2rem 1rem 4rem }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .5rem } h2 { font-size: 1.2rem; margin: 0 0 .5rem } h3 { font-size: 1rem; margin: 1.25rem 0 .25rem }
p, ul { margin: 0 0 1rem } a { color: var(--accent) }
.soft, .hint { color: var(--soft) } .hint { font-size: .9rem; margin: 0 0 .3rem }
.card, .note { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1.25rem 1.5rem 1.5rem; margin: 1.5rem 0 0 }
.note { border-width: 1px 1px 1px .4rem; padding-bottom: 1.25rem } .note > :last-child, .card > :last-child { margin-bottom: 0 } .note + p { margin-top: 1.5rem }
.good { background: var(--good-bg); border-color: var(--good) } .good h2 { color: var(--good) }
.warn { background: var(--warn-bg); border-color: var(--warn) } .warn h2 { color: var(--warn) }
.bad { background: var(--bad-bg); border-color: var(--bad) } .bad h2, .wrong { color: var(--bad) }
label, legend { font-weight: 600 } legend { padding: 0 } fieldset { border: 0; margin: 0 0 1rem; padding: 0 }
.field { margin: 0 0 1rem } .field label { display: block } .wrong { font-weight: 600; margin: 0 0 .3rem }
.choice { display: flex; gap: .6rem; margin: .35rem 0 } .choice label { font-weight: 400 } .choice input { flex: none; width: 1.15rem; height: 1.15rem; margin: .2rem 0 0 }
input[type=password], input[type=text], input[type=file] { width: 100%; max-width: 26rem; font: inherit; color: inherit; padding: .5rem .6rem;
  background: var(--card); border: 1px solid var(--field); border-radius: .35rem }
input[aria-invalid=true] { border: 2px solid var(--bad) }
button { font: inherit; font-weight: 600; padding: .55rem 1.1rem; border: 1px solid var(--accent); border-radius: .35rem; background: var(--accent); color: var(--on-accent); cursor: pointer }
button.second { background: none; color: var(--accent) } button.danger { background: var(--bad); border-color: var(--bad); color: var(--card) }
.home { margin: 1.5rem 0 0 }
.buttons { display: flex; flex-wrap: wrap; gap: .75rem } .rule { border: 0; border-top: 1px solid var(--line); margin: 1.5rem 0 }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.25rem; margin: 0 0 1rem } dt { color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere }
.wide { overflow-x: auto; margin: 0 0 1rem } table { border-collapse: collapse; width: 100% } caption { text-align: left; font-weight: 600; padding: 0 0 .25rem }
th, td { text-align: left; padding: .35rem 1rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top } tbody th { font-weight: 400 } dl:empty { display: none } .n { text-align: right; font-variant-numeric: tabular-nums }
code { font-size: .9em; overflow-wrap: anywhere }
@media (max-width: 30rem) { .card, .note { padding: 1rem } th, td { padding-right: .6rem; font-size: .9rem } dl { grid-template-columns: 1fr } dd { margin-bottom: .4rem } button { width: 100% } }
`;

export const STYLE_HASH = `'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`;
