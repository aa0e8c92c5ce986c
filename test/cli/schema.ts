/** Holds lines of JSON against lib/cli/schema.json: the little of JSON Schema that it uses, and no property that it does not name. */
import { readFileSync } from 'node:fs';

interface Schema {
  $ref?: string;
  anyOf?: Schema[];
  const?: unknown;
  enum?: unknown[];
  type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean' | 'null';
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
}

const { $defs } = JSON.parse(readFileSync(new URL('../../lib/cli/schema.json', import.meta.url), 'utf8')) as {
  $defs: Record<string, Schema>;
};

/** What is wrong with a line, as a list; empty where nothing is. */
export function schemaErrors(line: { type?: unknown }): string[] {
  const schema = $defs[String(line.type)];
  return schema ? check(line, schema, String(line.type)) : [`there is no line of type ${line.type}`];
}

function check(value: unknown, schema: Schema, at: string): string[] {
  if (schema.$ref) return check(value, $defs[schema.$ref.replace('#/$defs/', '')] as Schema, at);
  if (schema.anyOf) {
    const all = schema.anyOf.map((one) => check(value, one, at));
    return all.find((errors) => errors.length === 0) ?? all.flat();
  }
  if ('const' in schema) return value === schema.const ? [] : [`${at} is not ${schema.const}`];
  if (schema.enum) return schema.enum.includes(value) ? [] : [`${at} is ${value}`];
  if (!fits(value, schema.type)) return [`${at} is no ${schema.type}: ${JSON.stringify(value)}`];
  if (schema.items)
    return (value as unknown[]).flatMap((item, i) => check(item, schema.items as Schema, `${at}[${i}]`));
  if (!schema.properties) return [];
  const { properties, required = [] } = schema;
  const object = value as Record<string, unknown>;
  return [
    ...required.filter((name) => !(name in object)).map((name) => `${at}.${name} is missing`),
    ...Object.keys(object).flatMap((name) =>
      properties[name]
        ? check(object[name], properties[name], `${at}.${name}`)
        : [`${at}.${name} is not in the schema`],
    ),
  ];
}

function fits(value: unknown, type: Schema['type']): boolean {
  if (type === 'null') return value === null;
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value);
  if (type === 'integer') return Number.isInteger(value);
  return typeof value === type;
}
