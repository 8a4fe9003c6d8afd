"""How the page looks: theme, style sheet, and the little scripting that Gradio has no word for."""

from gradio.themes import Default

from manticore.views.plots.theme import INK

# Named fonts only, nothing fetched: the page must work without a network.
FONTS = ["Inter", "system-ui", "Segoe UI", "Helvetica", "Arial", "sans-serif"]

THEME = Default(
    primary_hue="sky",
    secondary_hue="slate",
    neutral_hue="slate",
    radius_size="lg",
    font=FONTS,
    font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
).set(
    block_label_background_fill="transparent",
    block_label_border_width="0px",
    block_label_shadow="none",
    block_label_text_color="*body_text_color_subdued",
    block_title_text_weight="600",
    block_shadow="none",
    # Contrast of text at least 4.5 to 1, by daylight and in the dark.
    body_text_color_subdued="#5b6675",
    body_text_color_subdued_dark="#a3aebd",
    button_primary_background_fill="#20719f",
    button_primary_background_fill_dark="#20719f",
    button_primary_background_fill_hover="#1a5d84",
    button_primary_background_fill_hover_dark="#2a7fae",
    button_primary_text_color="#ffffff",
    slider_color="#2a8ccc",
)

CSS = """
.gradio-container { width: 100%; max-width: 1480px !important; margin: 0 auto !important; }
footer { display: none !important; }
#top { align-items: center; }
#masthead h1 { font-size: 1.7rem; font-weight: 700; margin: 0; letter-spacing: -0.02em; }
#masthead p { color: var(--body-text-color-subdued); margin: 0; }
#run input, #strategy input { text-overflow: ellipsis; }
#top .column { gap: 8px; }
.walk-open { border: 1px solid var(--border-color-primary); border-radius: 999px; cursor: pointer;
  padding: 3px 16px; font-size: 0.9rem; background: none; color: inherit; }
.walk-open:hover { border-color: var(--body-text-color-subdued); }
#after-search { align-items: center; }
#after-search > :first-child { flex: 1 0 100%; }
.presets { gap: 6px; }
.presets button { border-radius: 999px; font-weight: 500; }
#asked { min-height: 1.3em; font-size: 0.9rem; }
.cards { display: grid; gap: 8px; }
.cards button.card { display: block; width: 100%; text-align: left; font: inherit; color: inherit;
  cursor: pointer; background: var(--background-fill-primary); padding: 8px 12px;
  border: 1px solid var(--border-color-primary);
  border-radius: 10px; font-size: 0.82rem; line-height: 1.45; }
.cards button.card:hover { border-color: var(--body-text-color-subdued); }
.cards button.card.chosen { border-left: 4px solid var(--own); }
.cards button.card:focus-visible { outline: 2px solid #2a8ccc; outline-offset: 2px; }
.card b { display: block; font-size: 0.95rem; font-weight: 600; }
.card span { color: var(--body-text-color-subdued); }
.card .knows { display: block; }
.card .dot { border: 2px solid var(--body-text-color-subdued); background: var(--own); }
.card.chosen .dot { border-color: var(--own); }
.card.chosen .knows { color: inherit; }
.card .problem { display: block; margin-top: 4px; padding: 5px 9px; border-radius: 8px;
  color: inherit; border-left: 3px solid #c2453d; background: rgba(194, 69, 61, 0.12);
  overflow-wrap: anywhere; }
.js-plotly-plot text[style*="fill: INK"] { fill: var(--body-text-color-subdued) !important; }
.vocabularies { margin: 2px 2px 0; font-size: 0.85rem; }
.estimate { font-size: 0.9rem; }
.estimate summary { cursor: pointer; }
.estimate p { margin: 4px 0 0; font-size: 0.85rem; color: var(--body-text-color-subdued); }
#diagram .soon { margin: 0; padding: 5rem 1rem; text-align: center; }
.faint { color: var(--body-text-color-subdued); }
.dot { display: inline-block; width: 10px; height: 10px; border-radius: 50%; margin-right: 7px; }
.status { padding: 4px 2px 0; }
.status-line { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 16px; }
.status-line code { font-size: 0.8rem; background: none; color: var(--body-text-color-subdued); }
.fact { font-variant-numeric: tabular-nums; font-weight: 600; }
.fact i { font-style: normal; font-weight: 400; color: var(--body-text-color-subdued);
  margin-right: 5px; }
.chip { border-radius: 999px; padding: 1px 11px; font-size: 0.82rem; color: #fff;
  background: #5b6675; }
.chip.running, .bar-fill.running { background: #20719f; }
.chip.done, .bar-fill.done { background: #0d7a5b; }
.chip.failed, .bar-fill.failed, .chip.died, .bar-fill.died { background: #b23a33; }
.chip.stopped, .bar-fill.stopped, .chip.stopping, .bar-fill.stopping { background: #8f5d12; }
.bar { height: 6px; border-radius: 3px; margin: 9px 0 4px; overflow: hidden;
  background: var(--border-color-primary); }
.bar-fill { height: 100%; border-radius: 3px; background: #64748b; transition: width 0.5s; }
.note { margin-top: 6px; padding: 6px 10px; border-radius: 8px; font-size: 0.88rem;
  border-left: 3px solid #b7791f; background: rgba(183, 121, 31, 0.12); overflow-wrap: anywhere; }
.note.bad { border-color: #c2453d; background: rgba(194, 69, 61, 0.12); }
.sample { border-left: 3px solid var(--border-color-primary); padding: 2px 12px; }
.sample i { color: var(--body-text-color-subdued); font-size: 0.82rem; font-style: normal; }
.continuing { border-left: 3px solid #17a07c; padding: 2px 12px; font-size: 0.92rem; }
.continuing pre { margin: 6px 0; padding: 7px 11px; border-radius: 8px; overflow-x: auto;
  background: var(--background-fill-secondary); font-size: 0.82rem; }
#runs-table * { font-family: var(--font) !important; font-variant-numeric: tabular-nums; }
.differences { border-collapse: collapse; font-size: 0.88rem; }
.differences th, .differences td { text-align: left; padding: 4px 14px 4px 0; vertical-align: top;
  border: 0; border-bottom: 1px solid var(--border-color-primary); overflow-wrap: anywhere; }
.differences th[scope="row"] { font-weight: 400; color: var(--body-text-color-subdued); }
.continuing summary, .worked summary { cursor: pointer; font-size: 0.85rem; padding: 3px 0;
  color: var(--body-text-color-subdued); }
.worked { font-size: 0.9rem; }
.skill label { font-size: 0.88rem; }
.skill-card { border: 1px solid var(--border-color-primary); border-radius: 12px;
  padding: 8px 14px; gap: 4px !important; }
.skill-card .form, .skill-card .block { background: none; border-width: 0 !important;
  box-shadow: none; padding: 0; }
.skill-state { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 12px;
  min-height: 34px; font-size: 0.82rem; font-variant-numeric: tabular-nums; }
.skill-state.none { color: var(--body-text-color-subdued); }
.skill-bar { position: relative; flex: 1; min-width: 80px; height: 8px; border-radius: 4px;
  background: var(--border-color-primary); }
.skill-bar b { display: block; height: 100%; border-radius: 4px; transition: width 0.5s; }
.skill-bar i { position: absolute; top: -4px; width: 3px; height: 16px; border-radius: 2px; }
.skill-strip { display: flex; gap: 3px; }
.skill-strip span { display: flex; flex-direction: column; width: 13px; height: 30px;
  border-radius: 3px; overflow: hidden; }
.skill-strip b { display: block; }
.notice { padding: 8px 12px; border-radius: 8px; font-size: 0.92rem;
  border-left: 3px solid #2a8ccc; background: rgba(42, 140, 204, 0.1); }
#program-picture { position: sticky; top: 0; z-index: 5; padding: 6px 0;
  background: var(--body-background-fill); }
.mixture-table { display: grid; gap: 3px; margin-top: 4px; font-size: 0.85rem;
  align-items: center; font-variant-numeric: tabular-nums; }
.mixture-table > span { text-align: center; color: var(--body-text-color-subdued); }
.mixture-table > .name { text-align: left; padding-right: 8px; overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap; }
.mixture-table > b { border-radius: 5px; padding: 4px 2px; text-align: center; font-weight: 500;
  transition: background 0.2s; box-shadow: inset 0 0 0 1px var(--border-color-primary); }
#program-next { border: 1px solid var(--border-color-primary); border-radius: 12px;
  padding: 12px 14px; }
.trust-table { display: grid; grid-template-columns: repeat(3, max-content); gap: 1px 22px;
  font-size: 0.85rem; font-variant-numeric: tabular-nums; }
.trust-table > i { font-style: normal; color: var(--body-text-color-subdued); }
.trust p { margin: 6px 0; }
.trust details { margin-top: 8px; }
.trust-table > :not(:nth-child(3n + 1)) { text-align: right; }
.skill input[type="number"] { width: 3.1rem; }
#skills-how p { color: var(--body-text-color-subdued); font-size: 0.9rem; }
#chat-status:not(:has(.status)):not(:has(.note)) { display: none; }
#chat-words:not(:has(.mc-authorship)):not(:has(.note)) { display: none; }
#chat-columns:not(:has(section)):not(:has(.note)) { display: none; }
#chat .message { white-space: pre-wrap; }
.sample p { margin: 2px 0; white-space: pre-wrap; }
""".replace("INK", "rgb({}, {}, {})".format(*bytes.fromhex(INK[1:])))

# The tab is kept in the address as ?tab=ID, and the server is told which one it is. A figure that
# was drawn on a hidden tab has no right width: have it look again.
REMEMBER_TAB = """
() => new Promise((tell) => setTimeout(() => {
  const tab = document.querySelector('#tabs [role="tab"][aria-selected="true"]');
  const id = TABS[tab?.textContent.trim()];
  if (id) {
    const address = new URL(window.location);
    address.searchParams.set("tab", id);
    window.history.replaceState({}, "", address);
  }
  window.dispatchEvent(new Event("resize"));
  tell({ tab: id ?? "" });
}, 60))
"""

# Keeps ?run=ID in the address bar, so that a refresh, a bookmark or a link shows the same run.
REMEMBER_RUN = """
(run) => {
  const address = new URL(window.location);
  if (run) { address.searchParams.set("run", run); } else { address.searchParams.delete("run"); }
  window.history.replaceState({}, "", address);
  return run;
}
"""
