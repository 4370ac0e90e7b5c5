"use strict";
// Draws the figures of the page in the colours of its style sheet, and again when these change.
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const plots = [...document.querySelectorAll("[data-figure]")];
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const PRINTED_WIDTH = 680; // CSS pixels: what A4 leaves between the margins of the style sheet.
  const config = {
    displaylogo: false,
    responsive: true,
    // Those that are wanted, and no others: the library would have one that sends the chart to its maker's cloud.
    modeBarButtons: [["toImage"], ["zoom2d", "pan2d", "resetScale2d"]],
  };

  // Colours are named as the style sheet names them. Only under keys that are colours: other texts stay as they are.
  function coloured(value, style, isColour = false) {
    if (Array.isArray(value)) {
      return typeof value[0] === "object" || isColour ? value.map((one) => coloured(one, style, isColour)) : value;
    }
    if (value && typeof value === "object") {
      return Object.fromEntries(
        Object.entries(value).map(([key, one]) => [key, coloured(one, style, /color$/.test(key))]),
      );
    }
    const name = isColour && typeof value === "string" && value.match(/^var\((--[a-z0-9-]+)\)$/);
    return name ? style.getPropertyValue(name[1]).trim() : value;
  }

  function merged(under, over) {
    if (!under || !over || Array.isArray(over) || typeof over !== "object" || typeof under !== "object") {
      return over === undefined ? under : over;
    }
    const all = { ...under };
    for (const [key, value] of Object.entries(over)) {
      all[key] = merged(under[key], value);
    }
    return all;
  }

  // A heat map of counts comes as these, its columns in the places of a row; what is drawn is the logarithm of their
  // rate. Another one brings its heights and texts.
  function heated(trace, isDark) {
    if (!trace.meta) {
      return { ...trace, hoverongaps: false, reversescale: !isDark };
    }
    const { rows, columns, seconds, noun } = trace.meta;
    const rate = (count, column) => (count ? Math.log10(count / seconds[column]) : null);
    const words = (count, row, column) =>
      count ? `${count.toLocaleString("en")} ${noun}<br>${rows[row]}<br>${columns[column]}` : "";
    return {
      ...trace,
      z: trace.customdata.map((counts) => counts.map(rate)),
      text: trace.customdata.map((counts, row) => counts.map((count, column) => words(count, row, column))),
      hoverongaps: false,
      // Few is near the paper, many is far from it.
      reversescale: !isDark,
    };
  }

  function layoutOf(plot, figure, style, printed) {
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = {
      gridcolor: colour("--grid"),
      linecolor: colour("--rule"),
      zerolinecolor: colour("--rule"),
      tickcolor: colour("--rule"),
      ticks: "outside",
      automargin: true,
    };
    const narrow = !printed && plot.clientWidth < 520;
    const frame = {
      font: { family: style.fontFamily || "sans-serif", size: narrow ? 11 : 12, color: colour("--ink") },
      paper_bgcolor: colour("--paper"),
      plot_bgcolor: colour("--paper"),
      margin: { l: 56, r: narrow ? 8 : 24, t: 8, b: 44 },
      hoverlabel: { bgcolor: colour("--panel"), bordercolor: colour("--rule"), font: { color: colour("--ink") } },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: colour("--link"), orientation: "v" },
      // Lower on paper, so that two of them and their words share a page.
      height: Math.round(parseInt(plot.dataset.height, 10) * (printed ? 0.8 : 1)),
      autosize: !printed,
      // What a reader has zoomed or hidden stays so when it is drawn again.
      uirevision: "kept",
    };
    const layout = merged(frame, coloured(figure.layout, style));
    for (const name of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
      layout[name] = merged(axis, layout[name]);
    }
    if (printed) {
      layout.width = PRINTED_WIDTH;
    }
    return layout;
  }

  function draw(plot, printed = false) {
    const figure = figures[plot.dataset.figure];
    const style = getComputedStyle(document.documentElement);
    const body = getComputedStyle(document.body);
    const sheet = { getPropertyValue: (name) => style.getPropertyValue(name), fontFamily: body.fontFamily };
    // A copy each time: the library keeps what is hidden in the data it is given.
    const isDark = dark.matches && !printed;
    const data = coloured(figure.data, sheet).map((trace) => (trace.type === "heatmap" ? heated(trace, isDark) : trace));
    return Plotly.react(plot, data, layoutOf(plot, figure, sheet, printed), config);
  }

  const redraw = () => plots.filter((plot) => plot.classList.contains("js-plotly-plot")).forEach((plot) => draw(plot));
  dark.addEventListener("change", redraw);
  window.addEventListener("beforeprint", () => {
    document.documentElement.dataset.print = "";
    plots.forEach((plot) => draw(plot, true));
  });
  window.addEventListener("afterprint", () => {
    delete document.documentElement.dataset.print;
    plots.forEach((plot) => draw(plot));
  });

  // One at a time, and those in view first, so that the page answers meanwhile.
  let next = 0;
  function drawNext() {
    if (next < plots.length) {
      draw(plots[next]);
      next += 1;
      setTimeout(drawNext, 0);
    } else {
      document.documentElement.dataset.drawn = String(plots.length);
    }
  }
  drawNext();
})();
