// Asks the policy engine of the real Gemini CLI: argv has its bundle and a folder of policies, stdin the tool calls.
import { readFileSync, readdirSync } from "node:fs";

const [, , bundle, folder] = process.argv;
const core = readdirSync(bundle).find((name) => /^core-.*\.js$/.test(name));
const { PolicyEngine, loadPoliciesFromToml } = await import(`${bundle}/${core}`);
const { rules, checkers, errors } = await loadPoliciesFromToml([folder], () => 5);
const engine = new PolicyEngine({ rules, checkers, defaultDecision: "ask_user" });
const decisions = [];
for (const call of JSON.parse(readFileSync(0, "utf8"))) {
  decisions.push((await engine.check(call, undefined)).decision);
}
process.stdout.write("\n" + JSON.stringify({ errors, rules: rules.length, decisions }) + "\n");
process.exit(0);
