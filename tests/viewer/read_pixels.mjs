// Reads objects as Cornerstone's adapters and OHIF do, with dcmjs, and prints what their pixels are.
import fs from 'node:fs';
import dcmjs from 'dcmjs';

const { DicomMessage, DicomMetaDictionary } = dcmjs.data;
const found = process.argv.slice(2).map((path) => {
  const content = fs.readFileSync(path);
  const whole = content.buffer.slice(content.byteOffset, content.byteOffset + content.byteLength);
  const read = DicomMetaDictionary.naturalizeDataset(DicomMessage.readFile(whole).dict);
  const pixels = [read.PixelData ?? read.FloatPixelData].flat()[0];
  return { frames: Number(read.NumberOfFrames), rows: read.Rows, columns: read.Columns, bytes: pixels.byteLength };
});
console.log(`=== ${JSON.stringify(found)}`);
