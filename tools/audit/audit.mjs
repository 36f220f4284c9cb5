// Holds the templates in ecs/ against the rules of cdk-nag (AWS Solutions) and of AWS Control Tower (cfn-guard). What a rule finds is
// either mended or explained in acknowledged.json. An explanation of something that no rule finds any more is a fault, too.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { arch, tmpdir } from "node:os";
import { join } from "node:path";
import { App, Stack } from "aws-cdk-lib";
import { CfnInclude } from "aws-cdk-lib/cloudformation-include";
import { AwsSolutionsChecks } from "cdk-nag";

const guard = "node_modules/@cdklabs/cdk-validator-cfnguard";
const program = join(guard, "bin/ubuntu", arch() === "arm64" ? "aarch64" : "x86_64", "cfn-guard");

// nag is what cdk-nag finds in a stack, as "rule resource". Its finding in square brackets says where in the resource; one reason is for all of a rule.
function nag(stack) {
  const { violations } = new AwsSolutionsChecks(stack).validateScope(stack);
  return violations.flatMap((v) => v.violatingResources.map((r) => `${v.ruleName.replace(/\[.*/, "")} ${r.constructPath.split("/").at(-1)}`));
}

// tower is what AWS Control Tower's rules find in a template.
function tower(file) {
  const args = ["validate", "-d", file, "-r", join(guard, "rules/control-tower/cfn-guard"), "--output-format", "json", "--structured", "--show-summary", "none"];
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", maxBuffer: 1 << 28 });
  if (![0, 19].includes(status)) {
    throw new Error(`cfn-guard ended with ${status}: ${stderr}`);
  }
  return JSON.parse(stdout).flatMap((report) => report.not_compliant.map((rule) => {
    const resources = new Set(JSON.stringify(rule).match(/\/Resources\/[A-Za-z0-9]+/g)?.map((path) => path.split("/")[2]));
    return [...resources].map((resource) => `${rule.Rule.name} ${resource}`);
  })).flat();
}

const folder = mkdtempSync(join(tmpdir(), "afterlive-audit-"));
const faults = [];
try {
  const acknowledged = JSON.parse(readFileSync("acknowledged.json", "utf8"));
  for (const name of ["vod", "origin", "pages"]) {
    const app = new App({ outdir: join(folder, name) });
    const stack = new Stack(app, name);
    new CfnInclude(stack, "template", { templateFile: `../../ecs/${name}.yaml` });
    const nagged = nag(stack);
    app.synth();
    const found = [...new Set([...nagged, ...tower(join(folder, name, `${name}.template.json`))])].sort();
    const reasons = acknowledged[name];
    faults.push(...found.filter((f) => !reasons[f]).map((f) => `${name}.yaml: ${f} is neither mended nor explained`));
    faults.push(...Object.keys(reasons).filter((f) => !found.includes(f)).map((f) => `${name}.yaml: ${f} is explained, and nothing finds it`));
    console.log(`${name}.yaml: ${found.length} findings, ${Object.keys(reasons).length} explained`);
  }
} finally {
  rmSync(folder, { recursive: true });
}
if (faults.length > 0) {
  console.error(faults.join("\n"));
  process.exit(1);
}
