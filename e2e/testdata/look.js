// Evaluates to the visible content of a page; see the type look.
(() => {
  const number = (text) => {
    const found = text.match(/^rgba?\(([^)]*)\)$/);
    if (!found) throw new Error("an unknown color format: " + text);
    const [r, g, b, a = 1] = found[1].split(/[,/ ]+/).map(Number);
    return { r, g, b, a };
  };
  const over = (top, bottom) => ({
    r: top.r * top.a + bottom.r * (1 - top.a),
    g: top.g * top.a + bottom.g * (1 - top.a),
    b: top.b * top.a + bottom.b * (1 - top.a),
    a: 1,
  });
  const background = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(number(getComputedStyle(e).backgroundColor));
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const canvas = dark ? { r: 18, g: 18, b: 18, a: 1 } : { r: 255, g: 255, b: 255, a: 1 };
    return layers.reduceRight((below, layer) => over(layer, below), canvas);
  };
  const luminance = ({ r, g, b }) => {
    const linear = (c) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  };
  const contrast = (element) => {
    const back = background(element);
    const a = luminance(over(number(getComputedStyle(element).color), back));
    const b = luminance(back);
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  // An element is seen if it is visible, has a size and begins within the width of the window.
  const seen = (element) => {
    const box = element.getBoundingClientRect();
    return element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) &&
      box.width > 0 && box.height > 0 && box.left >= 0 && box.left < innerWidth;
  };
  const faint = [];
  let texts = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    if (!text || !element.checkVisibility()) continue;
    texts++;
    const ratio = contrast(element);
    if (ratio < 4.5) faint.push(`${ratio.toFixed(2)}: ${text}`);
  }
  const visible = (selector) => [...document.querySelectorAll(selector)].filter(seen).map((e) => e.innerText.trim());
  const page = document.documentElement;
  return {
    Title: document.title,
    Text: document.body.innerText,
    HTML: page.outerHTML,
    Overflow: Math.max(page.scrollWidth, document.body.scrollWidth) - page.clientWidth,
    Accounts: visible("tbody tr > :first-child"),
    Troubles: visible("article p"),
    Advice: visible("article p").filter((text) => text.startsWith("What to do:")),
    Faint: faint,
    Texts: texts,
  };
})()
