// Checks YAML files against a JSON Schema: `node check.cjs SCHEMA FILE…`, one line a file.
const fs = require("fs");
const Ajv = require("ajv");
const YAML = require("yaml");

const [schema, ...files] = process.argv.slice(2);
const validate = new Ajv({ strict: false, allErrors: true }).compile(JSON.parse(fs.readFileSync(schema)));
for (const file of files) {
  let said = "valid";
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(fs.readFileSync(file));
    if (!validate(YAML.parse(text, { logLevel: "error" }))) {
      said = validate.errors.map((error) => `${error.instancePath} ${error.message}`).join("; ");
    }
  } catch (error) {
    said = String(error).split("\n")[0];
  }
  console.log(said);
}
