// A headless Chromium for the tests: one JSON command a line on stdin, one JSON answer a line on stdout.
//   node browser.mjs CHROMIUM PROFILE_FOLDER
import fs from 'node:fs';
import readline from 'node:readline';
import { chromium } from 'playwright-core';

const [executablePath, profile] = process.argv.slice(2);
const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  viewport: { width: 1600, height: 900 },
  args: [
    '--no-sandbox', // Chromium's own sandbox does not run as root; it sees nothing but the loopback here
    '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--ignore-gpu-blocklist', // WebGL without a GPU
    '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run', '--disable-quic',
  ],
});
const page = context.pages()[0] ?? (await context.newPage());
const said = [];
let emulation;
page.on('console', message => ['error', 'warning'].includes(message.type()) && said.push(message.text().slice(0, 300)));
page.on('dialog', dialog => dialog.accept()); // leaves a study although measurements in it are not saved
page.on('pageerror', error => said.push(`page error: ${error.message}`));

const commands = {
  go: ({ url }) => page.goto(url).then(() => null),
  evaluate: ({ script }) => page.evaluate(script),
  wait: ({ script, timeout }) => page.waitForFunction(script, null, { timeout, polling: 100 }).then(() => null),
  click: ({ selector, double }) =>
    double ? page.locator(selector).first().dblclick({ timeout: 120000 }) : page.locator(selector).first().click({ timeout: 120000 }),
  attribute: ({ selector, name }) => page.locator(selector).first().getAttribute(name, { timeout: 120000 }),
  key: ({ name }) => page.keyboard.press(name),
  type: ({ text }) => page.keyboard.type(text).then(() => null),
  text: ({ selector }) => page.locator(selector).first().innerText({ timeout: 120000 }),
  scheme: ({ scheme }) => page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' }).then(() => null),
  scripts: async ({ on }) => {
    emulation ??= await context.newCDPSession(page); // what one session has switched off, no other one switches on
    await emulation.send('Emulation.setScriptExecutionDisabled', { value: !on });
    return null;
  },
  fill: ({ selector, text }) => page.locator(selector).first().fill(text, { timeout: 120000 }).then(() => null),
  size: ({ width, height }) => page.setViewportSize({ width, height }).then(() => null),
  inject: ({ path }) => page.evaluate(fs.readFileSync(path, 'utf8')).then(() => null), // past the page's own policy
  screenshot: ({ path, whole }) => page.screenshot({ path, fullPage: whole }).then(() => null),
  said: () => said,
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { command, ...options } = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await commands[command](options)) ?? null };
  } catch (error) {
    answer = { error: String(error.message ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await context.close();
