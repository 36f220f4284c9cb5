// Reads requests with the policies that apply to them, as a JSON list on standard input, and prints a line for each: Allowed,
// ExplicitlyDenied or ImplicitlyDenied, or what is wrong with a policy or a request.
import { readFileSync } from "node:fs";
import { runSimulation } from "@cloud-copilot/iam-simulate";

for (const { principal, action, resource, account, context, identity, policy } of JSON.parse(readFileSync(0, "utf8"))) {
  const answer = await runSimulation({
    request: { principal, action, resource: { resource, accountId: account }, contextVariables: context ?? {} },
    identityPolicies: identity ? [{ name: "role", policy: identity }] : [],
    serviceControlPolicies: [],
    resourceControlPolicies: [],
    resourcePolicy: policy,
  }, {});
  const ignored = answer.resultType === "single" ? answer.result.ignoredContextKeys ?? [] : [];
  if (answer.resultType === "error") console.log(JSON.stringify(answer.errors));
  else if (ignored.length > 0) console.log(`${action} knows no ${ignored}`);
  else console.log(answer.overallResult);
}
