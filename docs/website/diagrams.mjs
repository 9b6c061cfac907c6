// Draws docs/diagrams/*.d2 into docs/img/diagrams, for both themes: `make diagrams`. Each picture says of which text
// it is made, so that a test sees when one is older than its text.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { D2 } from "@terrastruct/d2";

const docs = process.argv[2];
const themes = { light: 0, dark: 200 };
const d2 = new D2();

for (const file of readdirSync(join(docs, "diagrams")).sort()) {
  const text = readFileSync(join(docs, "diagrams", file), "utf8");
  const hash = createHash("sha256").update(text).digest("hex");
  for (const [theme, themeID] of Object.entries(themes)) {
    const picture = join(docs, "img", "diagrams", `${basename(file, ".d2")}-${theme}.svg`);
    const options = { layout: "elk", themeID, pad: 10, noXMLTag: true };
    const { diagram, renderOptions } = await d2.compile(text, options);
    const svg = await d2.render(diagram, { ...renderOptions, ...options });
    writeFileSync(picture, `<!-- ${file} ${hash} -->\n${svg}\n`);
  }
}
process.exit(0);
