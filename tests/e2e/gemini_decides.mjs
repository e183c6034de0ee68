// Asks the policy engine of the real Gemini CLI: argv has its bundle, stdin a list of folders of policies, each with the
// tool calls that are put to it. Loading the bundle takes longer than all the answers.
import { readFileSync, readdirSync } from "node:fs";

const [, , bundle] = process.argv;
const core = readdirSync(bundle).find((name) => /^core-.*\.js$/.test(name));
const { PolicyEngine, loadPoliciesFromToml } = await import(`${bundle}/${core}`);
const answers = [];
for (const { folder, calls } of JSON.parse(readFileSync(0, "utf8"))) {
  const { rules, checkers, errors } = await loadPoliciesFromToml([folder], () => 5);
  const engine = new PolicyEngine({ rules, checkers, defaultDecision: "ask_user" });
  const decisions = [];
  for (const call of calls) {
    decisions.push((await engine.check(call, undefined)).decision);
  }
  answers.push({ errors, decisions });
}
process.stdout.write("\n" + JSON.stringify(answers) + "\n");
process.exit(0);
