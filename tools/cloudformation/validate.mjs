// Validates the template on standard input, strictly. Prints one finding a line.
import { readFileSync, writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";
import validate from "@aws/cloudformation-validate";

// One template after the other, divided by lines of four dashes: starting takes seconds.
const engine = new validate.CelEngine();
const folder = mkdtempSync(join(tmpdir(), "afterlive-cfn-"));
for (const template of readFileSync(0, "utf8").split("\n----\n")) {
  const file = join(folder, "template.yaml");
  writeFileSync(file, template);
  const result = engine.validateStandard(new validate.TemplateFile(file), { severityLevel: "WARN", strict: true });
  console.log(result.diagnostics.map((d) => `${d.severity} ${d.ruleId}: ${d.message}`).join("; ").replaceAll("\n", " "));
}
engine.free();
rmSync(folder, { recursive: true });
