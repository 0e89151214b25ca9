/** A reporter of Vitest that names at the end the tests that passed at the second try only. */
export default class UnsteadyTests {
  #names = [];

  onTestCaseResult(test) {
    if (!test.diagnostic()?.flaky) return;
    this.#names.push(`${test.module.relativeModuleId} > ${test.fullName}`);
  }

  onTestRunEnd() {
    if (this.#names.length === 0) return;
    console.error(["passed at the second try only:", ...this.#names].join("\n  "));
  }
}
