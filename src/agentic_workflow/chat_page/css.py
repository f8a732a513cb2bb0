"""The style sheet of the chat page: one column, system fonts, light and dark, from 320 px."""

STYLE = """
.gradio-container {--quiet: #5d6470; max-width: 100% !important; padding: 0 !important}
.dark .gradio-container, .gradio-container.dark {--quiet: #a4abb8}
.gradio-container .main.fillable {width: 100%; max-width: 46rem !important;
  margin: 0 auto !important; padding: 1rem 1.1rem .9rem !important; box-sizing: border-box}
.gradio-container main.contain {width: 100%; padding: 0 !important; gap: .5rem}
.gradio-container .wrap, .gradio-container main .column {width: 100%}
footer {display: none !important}

#top {flex-wrap: nowrap; align-items: flex-start; gap: .5rem}
#head .html-container {padding: 0 !important}
#head h1 {font-size: 1.05rem; font-weight: 650; letter-spacing: -.01em; margin: 0;
  color: var(--body-text-color)}
#head p {font-size: .85rem; margin: .15rem 0 0; color: var(--quiet)}
#new {flex: 0 0 auto; min-width: 0; width: auto; background: transparent; color: var(--quiet);
  border: 1px solid var(--border-color-primary); border-radius: 1rem; font-size: .8rem;
  font-weight: 400; padding: .3rem .75rem; box-shadow: none}
#new:hover {color: var(--body-text-color)}

#conversation {border: 0 !important; background: transparent !important;
  box-shadow: none !important; min-height: 14rem}
#conversation .icon-button-wrapper {display: none}
#conversation .bubble-wrap {background: transparent !important; padding: .5rem 0 !important}
#conversation .message-wrap {gap: .2rem; padding: 0; margin: 0}
#conversation .message-row {max-width: 100%; margin: .45rem 0 !important}
#conversation .message {font-size: .97rem; line-height: 1.5}
#conversation .message .md {opacity: 1}
#conversation .bot.message {background: transparent !important; border: 0 !important;
  box-shadow: none !important; padding: 0 !important}
#conversation .user.message {
  background: color-mix(in srgb, var(--body-text-color) 7%, transparent) !important;
  border: 0 !important; border-radius: 1.1rem !important; box-shadow: none !important;
  padding: .5rem .9rem !important; overflow-wrap: anywhere}
#conversation .answer {overflow-wrap: anywhere; font-size: 1.03rem}
#conversation .note {color: var(--quiet); padding: .1rem 0}
#conversation .note.busy::after {content: "\\2026"; animation: fade 1.1s infinite alternate}
@keyframes fade {from {opacity: .2} to {opacity: 1}}

#conversation .placeholder-content {justify-content: flex-end; padding: 0}
#conversation .placeholder {flex: 0 0 auto; color: var(--quiet); padding: 0 0 .7rem;
  text-align: center; height: auto; align-items: center}
#conversation .examples {display: flex; flex-wrap: wrap; justify-content: center; gap: .5rem;
  width: 100%; max-width: none; padding: 0 0 .5rem; margin: 0; flex: 0 0 auto}
#conversation .example {width: auto; flex: 0 1 auto; padding: .45rem .85rem; min-height: 0;
  border-radius: 1.1rem; border: 1px solid var(--border-color-primary); background: transparent;
  box-shadow: none; margin: 0}
#conversation .example:hover {background: var(--background-fill-secondary)}
#conversation .example-content, #conversation .example-text-content {padding: 0; margin: 0}
#conversation .example-text {font-size: .88rem; white-space: normal; text-align: left}

#conversation details.why {margin: .2rem 0 .1rem; font-size: .82rem; color: var(--quiet)}
#conversation details.why summary, #conversation ol.steps li {color: var(--quiet)}
#conversation .placeholder div {color: var(--quiet)}
#conversation details.why summary {cursor: pointer; list-style: none; display: inline-flex;
  align-items: center; gap: .45rem; padding: .2rem 0; min-height: 1.6rem}
#conversation details.why summary::-webkit-details-marker {display: none}
#conversation details.why summary::after {content: "\\203A"; transition: transform .15s;
  font-size: 1rem; line-height: 1}
#conversation details.why[open] summary::after {transform: rotate(90deg)}
#conversation details.why summary:hover {color: var(--body-text-color)}
#conversation details.why summary:focus-visible {outline: 2px solid var(--color-accent);
  outline-offset: 2px; border-radius: 4px}
#conversation .dot {width: .5rem; height: .5rem; border-radius: 50%; flex: none;
  background: #9ca3af}
#conversation .dot.agrees {background: #16a34a}
#conversation .dot.disagrees {background: #d97706}
#conversation table.record {display: table; width: 100%; border-collapse: collapse; border: 0;
  margin: .35rem 0 .6rem; font-size: .85rem; color: var(--body-text-color)}
#conversation table.record caption {caption-side: top; text-align: left; padding: 0 0 .25rem;
  color: var(--quiet)}
#conversation table.record th, #conversation table.record td {text-align: left; border: 0;
  border-top: 1px solid var(--border-color-primary); padding: .28rem .5rem;
  background: transparent; overflow-wrap: anywhere; vertical-align: top}
#conversation table.record th {width: 38%; font-weight: 400; color: var(--quiet)}
#conversation table.record tr.hit th, #conversation table.record tr.hit td {
  background: color-mix(in srgb, #16a34a 13%, transparent); color: var(--body-text-color);
  font-weight: 600}
#conversation ol.steps {margin: .2rem 0 .4rem; padding-left: 1.3rem; line-height: 1.5}
#conversation ol.steps li {margin: .1rem 0; padding: 0}
#conversation ol.steps b {font-weight: 600; color: var(--body-text-color)}
#conversation ol.steps i {font-style: normal; color: var(--body-text-color)}

#question {border: 1px solid var(--border-color-primary) !important; overflow: hidden;
  border-radius: 1.5rem !important; box-shadow: 0 1px 6px rgb(0 0 0 / 7%) !important;
  background: var(--background-fill-primary) !important; padding: .3rem .4rem !important}
#question:focus-within {border-color: var(--color-accent) !important}
#question textarea {font-size: 1rem !important; background: transparent !important;
  border: 0 !important; box-shadow: none !important; outline: 0; padding-left: .6rem}
#question textarea::placeholder {color: var(--quiet)}
#question button {border-radius: 50%}
@media (max-width: 480px) {
  .gradio-container .main.fillable {padding: .75rem .85rem .6rem !important}
  #conversation .message {font-size: 1rem}
  #conversation details.why {font-size: .86rem}
}
@media (prefers-reduced-motion: reduce) {#conversation .note.busy::after {animation: none}}
"""
