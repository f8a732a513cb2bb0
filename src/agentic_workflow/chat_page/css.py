"""The style sheet of the chat page: system fonts, light and dark, from 320 px."""

STYLE = """
.gradio-container {--quiet: #5a6170; --good: #15803d; --bad: #b45309; --line: #d9dce3;
  --soft: #f3f4f7; --accent: #1d4ed8; --mark: #dcfce7; --page: #ffffff; --ink: #1c2024;
  max-width: 100% !important; padding: 0 !important; background: var(--page) !important;
  overflow: visible !important}
.dark .gradio-container, .gradio-container.dark {--quiet: #a8b0bd; --good: #4ade80; --bad: #fbbf24;
  --line: #343a46; --soft: #1e232c; --accent: #93b4ff; --mark: #14432a; --page: #12151b;
  --ink: #eceef2}
body {background: var(--body-background-fill)}
.gradio-container, .gradio-container .prose {color: var(--ink)}
.gradio-container .main.fillable {width: 100%; max-width: 68rem !important; margin: 0 auto
  !important; padding: .9rem 1.1rem 0 !important; box-sizing: border-box}
.gradio-container main.contain {width: 100%; padding: 0 !important; gap: 0}
.gradio-container .wrap, .gradio-container main .column {width: 100%}
.gradio-container .block {border: 0 !important; background: transparent !important;
  box-shadow: none !important; padding: 0 !important}
.gradio-container .form {background: transparent !important; border: 0 !important;
  box-shadow: none !important; overflow: visible}
.gradio-container .html-container {padding: 0 !important}
.gradio-container .tabitem {padding: .8rem 0 0 !important; border: 0 !important;
  background: transparent !important}
footer {display: none !important}
.sr {position: absolute !important; width: 1px; height: 1px; overflow: hidden; white-space: nowrap;
  clip-path: inset(50%)}
#announced {position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%)}

#head {margin-bottom: .4rem}
#head h1 {font-size: 1.1rem; font-weight: 650; letter-spacing: -.01em; margin: 0; color: var(--ink)}
#head p, .told p {font-size: .88rem; margin: .1rem 0 0; color: var(--quiet)}
#tabs .tab-container button, #tabs [role=tab] {color: var(--quiet); font-size: .92rem}
#tabs, #tabs .tabitem > .column {gap: .4rem}
#tabs [role=tab][aria-selected=true] {color: var(--ink); font-weight: 600}
.gradio-container h2 {font-size: 1rem; font-weight: 650; margin: .3rem 0; color: var(--ink)}
.gradio-container h3 {font-size: .9rem; font-weight: 600; margin: 0; color: var(--ink)}

#columns {flex-wrap: nowrap; gap: 1.8rem; align-items: flex-start}
#side {flex: 0 0 13.5rem; width: 13.5rem; position: sticky; top: 1rem; gap: .6rem}
#main {min-width: 0; flex: 1 1 0; flex-wrap: nowrap !important; gap: 0;
  min-height: calc(100vh - 7.4rem); display: flex; flex-direction: column}
#conversation, #now {flex: none}
#composer {flex: 0 0 auto !important; height: auto; margin-top: auto;
  position: sticky; bottom: 0; z-index: 3; gap: .25rem;
  background: var(--page); padding: .4rem 0 .7rem}

.gradio-container button[data-action], .gradio-container button[data-copy],
.gradio-container button[data-toggle], .gradio-container form button {font: inherit;
  font-size: .84rem; line-height: 1.2; min-height: 1.9rem; padding: .2rem .65rem; cursor: pointer;
  border: 1px solid transparent; border-radius: .5rem; background: transparent;
  color: var(--quiet)}
.gradio-container button[data-action]:hover, .gradio-container button[data-copy]:hover,
.gradio-container button[data-toggle]:hover, .gradio-container form button:hover {
  background: var(--soft); color: var(--ink)}
.gradio-container button[disabled] {opacity: .45; cursor: default}
.gradio-container button:focus-visible, .gradio-container summary:focus-visible,
.gradio-container input:focus-visible, .gradio-container textarea:focus-visible,
.gradio-container [tabindex]:focus-visible {outline: 2px solid var(--accent) !important;
  outline-offset: 1px}
.gradio-container button[aria-pressed=true] {color: var(--accent); font-weight: 600;
  border-color: currentColor}

nav .new {display: block; width: 100%; text-align: left; border-color: var(--line) !important;
  color: var(--ink) !important; margin-bottom: .5rem}
nav .fold {display: none}
nav ol {list-style: none; margin: 0; padding: 0; max-height: 60vh; overflow-y: auto}
nav li {display: flex; align-items: center; margin: 0; border-radius: .5rem}
nav .thread {flex: 1 1 auto; min-width: 0; text-align: left; overflow: hidden; white-space: nowrap;
  text-overflow: ellipsis}
nav .thread[aria-current] {background: var(--soft); color: var(--ink); font-weight: 600}
nav .delete {flex: none; padding: .2rem .5rem !important}
nav .none {font-size: .84rem; color: var(--quiet); margin: 0}
#export {align-self: flex-start; background: transparent; border: 0; color: var(--quiet);
  font-size: .84rem; font-weight: 400; padding: .3rem .65rem; box-shadow: none; min-width: 0;
  width: auto}
#export:hover {color: var(--ink); background: var(--soft)}

.welcome {padding: 9vh 0 1.5rem; text-align: center}
.welcome h2 {font-size: 1.35rem !important; letter-spacing: -.015em}
.welcome p {color: var(--quiet); margin: .3rem auto 1.2rem; max-width: 34rem; font-size: .93rem}
.examples {display: flex; flex-wrap: wrap; gap: .5rem; justify-content: center}
.gradio-container .examples button {border-color: var(--line) !important; color: var(--ink);
  border-radius: 1.1rem; padding: .45rem .9rem; text-align: left}

article.turn {padding: .5rem 0 1rem}
.asked {display: flex; justify-content: flex-end; align-items: center; gap: .3rem;
  margin-bottom: .7rem}
.asked .bubble {background: var(--soft); color: var(--ink); border-radius: 1.1rem;
  padding: .5rem .95rem; max-width: 85%; overflow-wrap: anywhere; line-height: 1.45}
.asked button {opacity: 0}
.asked:hover button, .asked:focus-within button {opacity: 1}
@media (hover: none) {.asked button {opacity: 1}}
.answer {font-size: 1.07rem; line-height: 1.55; color: var(--ink); overflow-wrap: anywhere;
  margin: 0}
.note {color: var(--quiet); margin: 0}
.note.busy::after {content: "\\2026"; animation: fade 1.1s infinite alternate}
@keyframes fade {from {opacity: .2} to {opacity: 1}}
.badges {display: flex; flex-wrap: wrap; gap: .4rem; margin: .45rem 0 .1rem}
.badge {font-size: .78rem; line-height: 1; padding: .32rem .55rem; border-radius: 1rem;
  border: 1px solid var(--line); color: var(--quiet)}
.badge.good, .badge.bad {color: var(--ink); border-color: transparent}
.badge.good {background: color-mix(in srgb, var(--good) 15%, transparent)}
.badge.bad {background: color-mix(in srgb, var(--bad) 18%, transparent)}
.badge.good::before, .badge.bad::before {content: ""; display: inline-block; width: .5rem;
  height: .5rem; border-radius: 50%; background: var(--good); margin-right: .4rem}
.badge.bad::before {background: var(--bad); border-radius: 1px}
.badge.sure {font-variant-numeric: tabular-nums; color: var(--ink)}
.badge.low {border-color: var(--bad)}

.cells, .records {overflow-x: auto; max-width: 100%; margin: .6rem 0 .3rem;
  border: 1px solid var(--line); border-radius: .6rem}
.cells table, .records table {border-collapse: collapse; width: 100%; font-size: .86rem;
  color: var(--ink); margin: 0; border: 0; font-variant-numeric: tabular-nums}
.cells caption, .records caption {text-align: left; caption-side: top; color: var(--quiet);
  font-size: .8rem; padding: .45rem .7rem .3rem}
.cells th, .cells td, .records th, .records td {text-align: left; border: 0;
  border-top: 1px solid var(--line); padding: .38rem .7rem; white-space: nowrap;
  background: transparent; color: var(--ink); max-width: 18rem; overflow: hidden;
  text-overflow: ellipsis}
.cells thead th, .records thead th {color: var(--quiet); font-weight: 500; font-size: .8rem}
.cells tbody th, .records tbody th {color: var(--quiet); font-weight: 400}
.cells td.cited {background: var(--mark)}
.cells td.cited mark {background: transparent; color: inherit; font-weight: 650;
  text-decoration: underline; text-decoration-thickness: 1px; text-underline-offset: 3px}
details.steps {margin: .3rem 0 0; font-size: .85rem; color: var(--quiet)}
details.steps summary {cursor: pointer; list-style: none; padding: .25rem 0; min-height: 1.7rem;
  color: var(--quiet); overflow-wrap: anywhere}
details.steps summary::-webkit-details-marker {display: none}
details.steps summary::before {content: "\\203A"; display: inline-block; width: .5rem;
  margin-right: .45rem; text-align: center; transition: transform .15s}
details.steps[open] summary::before {transform: rotate(90deg)}
details.steps summary:hover {color: var(--ink)}
details.steps ol {margin: .15rem 0 .3rem; padding-left: 2rem; line-height: 1.55}
details.steps b, details.steps i {font-weight: 600; font-style: normal; color: var(--ink)}
details.steps i {font-weight: 400}
.actions {display: flex; flex-wrap: wrap; align-items: center; gap: .1rem; margin: .25rem 0 0
  -.65rem; font-size: .84rem; color: var(--quiet)}

form.feedback {display: grid; gap: .25rem; margin: .5rem 0 0; padding: .7rem .9rem .5rem;
  border: 1px solid var(--line); border-radius: .6rem; max-width: 34rem; font-size: .88rem;
  scroll-margin-bottom: 8rem}
form.feedback p {margin: 0; color: var(--quiet)}
form.feedback label {color: var(--ink)}
form.feedback .actions {margin-left: 0; gap: .4rem}
form.feedback button[type=submit], form.names button {border-color: var(--line); color: var(--ink)}
.approval {display: grid; gap: .5rem; margin: .5rem 0 .3rem; padding: .7rem .9rem .6rem;
  border: 1px solid var(--line); border-left: 3px solid var(--accent); border-radius: .6rem;
  max-width: 34rem; font-size: .9rem; color: var(--ink); scroll-margin-bottom: 8rem}
.approval p {margin: 0}
.approval .details {display: grid; grid-template-columns: minmax(5rem, auto) 1fr; gap: .35rem .8rem;
  align-items: center; overflow-wrap: anywhere}
.approval .details > label, .approval .details > span:nth-child(odd) {color: var(--quiet)}
.approval .actions {margin-left: 0; gap: .4rem}
.gradio-container .approval button {border-color: var(--line) !important; color: var(--ink)}
article.turn .examples {justify-content: flex-start; margin: .5rem 0 .2rem}
#own-table summary {cursor: pointer; color: var(--quiet); font-size: .88rem}
.gradio-container #own-table button {border-color: var(--bad) !important; color: var(--ink)}
form textarea, form.names input, .approval input {font: inherit; font-size: .9rem;
  color: var(--ink);
  background: var(--page); border: 1px solid var(--line); border-radius: .4rem;
  padding: .35rem .55rem; width: 100%; box-sizing: border-box; resize: vertical}
article.review {border: 1px solid var(--line); border-radius: .6rem; padding: .7rem .9rem .5rem;
  margin: .6rem 0; max-width: 44rem; font-size: .9rem}
article.review p {margin: 0 0 .25rem; color: var(--ink); overflow-wrap: anywhere}
article.review p.note {color: var(--quiet)}
article.review label {display: block; color: var(--ink)}
article.review form.names {flex-direction: column; gap: .2rem}
article.review .actions {margin-left: 0; gap: .4rem}
.gradio-container article.review button {border-color: var(--line); color: var(--ink)}
form.names input {min-height: 1.9rem}
#notice p, #table-notice p, #review-notice p {margin: 0; padding: .35rem .2rem; font-size: .88rem;
  color: var(--quiet)}
#notice p[role=alert], #table-notice p[role=alert] {color: var(--ink);
  border-left: 3px solid var(--bad); padding-left: .6rem}
p[role=alert] {overflow-wrap: anywhere}

#question {border: 1px solid var(--line) !important; overflow: hidden; border-radius: 1.3rem
  !important; box-shadow: 0 1px 6px rgb(0 0 0 / 7%) !important; background: var(--page) !important;
  padding: .3rem .4rem !important}
#question:focus-within {border-color: var(--accent) !important}
#question textarea {font-size: 1rem !important; background: transparent !important; border: 0
  !important; box-shadow: none !important; outline: 0 !important; padding-left: .6rem;
  color: var(--ink) !important}
#question textarea::placeholder {color: var(--quiet)}
#question button, #compare-question button {border-radius: 1rem; font-size: .88rem;
  padding: .3rem .9rem; width: auto; height: auto; min-height: 2.1rem; background: var(--accent);
  color: var(--page); font-weight: 600}
#workflow {width: 21rem; max-width: 100%; margin: 0 !important; align-self: flex-start;
  min-width: 0 !important}
#workflow .icon-wrap {right: .3rem}
#workflow .wrap, #workflow input {font-size: .82rem !important; color: var(--quiet) !important;
  background: transparent !important; border: 0 !important; box-shadow: none !important;
  min-height: 0}

#compare-question {border: 0 !important}
#compare-question .container, #compare-question label {background: transparent !important;
  border: 0 !important; border-radius: 0; gap: .3rem}
#compare-question [data-testid=block-info] {color: var(--ink) !important; background: transparent
  !important; padding: 0 !important; font-size: .88rem}
#compare-question .input-container {align-items: center; gap: .5rem; background: transparent
  !important}
#compare-question textarea {background: var(--page) !important; color: var(--ink) !important;
  border: 1px solid var(--line) !important; border-radius: .6rem; box-shadow: none !important}
.compared {display: grid; grid-template-columns: repeat(auto-fit, minmax(14rem, 1fr)); gap: .8rem;
  margin-top: .8rem}
.card {border: 1px solid var(--line); border-radius: .7rem; padding: .8rem .95rem}
.card h3 {color: var(--quiet); font-weight: 500}
.card .answer {margin: .35rem 0}
.right {margin: .9rem 0 0; color: var(--quiet)}
.right b {color: var(--ink)}
.records thead button {padding: 0 !important; color: var(--quiet); font-weight: 600; min-height:
  1.6rem !important}
table.asking button[data-action] {text-align: left; color: var(--accent); padding: .2rem 0}
table.asking td {white-space: normal; min-width: 11rem}
form.names {display: flex; gap: .4rem; min-width: 13rem}
#bring {justify-content: flex-start}
#bring-button {flex: 0 0 auto; width: auto; padding: .4rem .9rem; font-size: .88rem;
  background: transparent; color: var(--ink);
  border: 1px solid var(--line); font-weight: 500; box-shadow: none; border-radius: .5rem}
#asking > p, #asking p {font-size: .88rem; color: var(--quiet); margin: 0 0 .3rem}
#report iframe {width: 100%; height: 78vh; border: 1px solid var(--line); border-radius: .6rem;
  background: white}

@media (max-width: 820px) {
  .gradio-container .main.fillable {padding: .7rem .85rem 0 !important}
  #columns {flex-direction: column; gap: .4rem}
  #side {position: static; flex: none; width: 100%; gap: .2rem}
  #main {width: 100%; min-height: calc(100vh - 13rem)}
  nav {display: flex; flex-wrap: wrap; gap: .4rem}
  nav .new {width: auto; margin: 0}
  nav .fold {display: inline-block}
  nav ol, nav .none {display: none; flex-basis: 100%; max-height: 40vh}
  nav.open ol, nav.open .none {display: block}
  #side:not(:has(nav.open)) #export {display: none}
  .welcome {padding: 3vh 0 1rem}
  .asked button {opacity: 1}
  table.asking thead {display: none}
  table.asking tr {display: grid; padding: .3rem 0; border-top: 1px solid var(--line)}
  table.asking th, table.asking td {border: 0; padding: .1rem .7rem; max-width: none}
}
@media (prefers-reduced-motion: reduce) {
  .note.busy::after {animation: none}
  details.steps summary::before {transition: none}
}
"""
