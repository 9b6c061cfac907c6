// Every visible text whose contrast with what is behind it is below 4.5, but for what is disabled.
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const pixel = (colour, behind) => {
    canvas.fillStyle = `rgb(${behind.join(" ")})`;
    canvas.fillRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  };
  const luminance = (rgb) =>
    rgb
      .map((value) => value / 255)
      .map((value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
      .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const behind = (element) => {
    const parent = element.parentElement ? behind(element.parentElement) : [255, 255, 255];
    return pixel(getComputedStyle(element).backgroundColor, parent);
  };
  const opacity = (element) =>
    element ? Number(getComputedStyle(element).opacity) * opacity(element.parentElement) : 1;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const text = texts.currentNode.data.trim();
    if (
      !text ||
      !element.checkVisibility() ||
      element.closest(":disabled, .visually-hidden, script, noscript, title")
    )
      continue;
    const back = behind(element);
    const front = pixel(getComputedStyle(element).color, back).map(
      (value, index) => back[index] + (value - back[index]) * opacity(element),
    );
    const [low, high] = [luminance(back), luminance(front)].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5)
      found.push(`${ratio.toFixed(2)} ${element.className || element.tagName}: ${text.slice(0, 30)}`);
  }
  return found;
};
