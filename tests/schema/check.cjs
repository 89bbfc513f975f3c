// Checks YAML files against a JSON Schema, or a part of one: `node check.cjs SCHEMA[#PART] FILE…`,
// one line a file.
const fs = require("fs");
const Ajv = require("ajv");
const YAML = require("yaml");

const [schema, ...files] = process.argv.slice(2);
const [name, part = ""] = schema.split("#");
const ajv = new Ajv({ strict: false, allErrors: true });
ajv.addSchema(JSON.parse(fs.readFileSync(name)), "schema");
const validate = ajv.compile({ $ref: `schema#${part}` });
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
