// Draws the page from /openapi.json. Text only ever goes in as text.
"use strict";

const main = document.getElementById("manual");

function add(parent, name, text, attributes = {}) {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent.append(element);
  return element;
}

function addTable(parent, head, rows) {
  const table = add(parent, "table");
  const headRow = add(add(table, "thead"), "tr");
  for (const title of head) add(headRow, "th", title, { scope: "col" });
  const body = add(table, "tbody");
  for (const { id, cells } of rows) {
    const row = add(body, "tr", undefined, id ? { id } : {});
    for (const cell of cells) add(row, "td", cell);
  }
}

function resolve(api, node) {
  if (!node || !node.$ref) return node;
  return node.$ref.slice(2).split("/").reduce((at, key) => at[key], api);
}

function drawOperation(api, path, method, operation) {
  add(main, "h2", `${method.toUpperCase()} ${path}`);
  add(main, "p", operation.description ?? operation.summary);
  const parameters = (operation.parameters ?? []).map((parameter) => resolve(api, parameter));
  if (parameters.length) {
    addTable(main, ["Header", "Meaning"], parameters.map(({ name, description }) => ({ cells: [name, description] })));
  }
  const body = operation.requestBody?.content["application/json"];
  if (body) drawSchema(api, resolve(api, body.schema), body.example);
  const answers = Object.entries(operation.responses).map(([status, answer]) => [status, resolve(api, answer)]);
  addTable(main, ["Answer", "Meaning"], answers.map(([status, { description }]) => ({ cells: [status, description] })));
}

function drawSchema(api, schema, example) {
  const required = new Set(schema.required ?? []);
  const fields = Object.entries(schema.properties).map(([name, property]) => ({
    cells: [name, required.has(name) ? "yes" : "", resolve(api, property).description],
  }));
  addTable(main, ["Field", "Needed", "Meaning"], fields);
  if (example) add(main, "pre", JSON.stringify(example, null, 2));
}

async function draw() {
  const api = await (await fetch("/openapi.json")).json();
  main.replaceChildren();
  add(main, "h1", api.info.title);
  add(main, "p", api.info.description);
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) drawOperation(api, path, method, operation);
  }
  add(main, "h2", "Errors");
  add(main, "p", api.components.schemas.Problem.description);
  const codes = Object.entries(api.components.schemas.Problem["x-codes"]);
  addTable(main, ["Code", "Meaning"], codes.map(([code, meaning]) => ({ id: code, cells: [code, meaning] })));
  add(main, "h2", "Warnings");
  add(main, "p", api.components.schemas.Warning.description);
  const warnings = Object.entries(api.components.schemas.Warning["x-codes"]);
  addTable(main, ["Code", "Meaning"], warnings.map(([code, meaning]) => ({ cells: [code, meaning] })));
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

draw().catch((error) => add(main, "p", `The description could not be read: ${error.message}`, { role: "alert" }));
