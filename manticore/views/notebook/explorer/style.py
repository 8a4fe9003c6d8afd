"""How the explorer looks in a notebook, light or dark."""

STYLE = """<style>
.mc-explorer { border: 1px solid var(--jp-border-color2, #cfd6df); border-radius: 12px;
  padding: 10px 14px; }
.mc-explorer .mc-told { opacity: .78; min-height: 1.4em; }
.mc-explorer .mc-problem { border-left: 4px solid #c2453d; padding: 2px 10px; }
.mc-explorer .mc-cards { display: grid; gap: 8px; margin: 6px 0;
  grid-template-columns: repeat(auto-fill, minmax(260px, 1fr)); }
.mc-explorer .mc-cards > div { border: 1px solid var(--jp-border-color2, #cfd6df);
  border-radius: 10px; padding: 6px 12px; line-height: 1.45; font-size: .9em; }
.mc-explorer .mc-cards b, .mc-explorer .mc-cards span { display: block; }
.mc-explorer .mc-cards span { opacity: .78; }
.mc-skill { border: 1px solid var(--jp-border-color2, #cfd6df); border-radius: 12px;
  padding: 6px 12px; margin: 4px; }
.mc-skill .skill-state { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 12px;
  font-size: .85em; line-height: 1.4; }
.mc-skill .skill-bar { position: relative; flex: 1; min-width: 80px; height: 8px;
  border-radius: 4px; background: rgba(128, 138, 152, .22); }
.mc-skill .skill-bar b { display: block; height: 100%; border-radius: 4px; }
.mc-skill .skill-bar i { position: absolute; top: -4px; width: 3px; height: 16px; }
.mc-skill .skill-strip { display: flex; gap: 3px; }
.mc-skill .skill-strip span { display: flex; flex-direction: column; width: 13px; height: 30px; }
.mc-explorer pre { white-space: pre-wrap; line-height: 1.5; }
</style>"""
"""Rules of what the explorer is made of; the diagram and the chat bring their own."""
