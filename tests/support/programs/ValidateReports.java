import com.pixelmed.validate.DicomSRValidator;

/**
 * PixelMed's validator over many SRs in one process, which costs its start-up once.
 *
 * Java runs it from this source, without a build step; the headless runtimes of Debian and Ubuntu can do that.
 */
class ValidateReports {
    public static void main(String[] paths) throws Exception {
        DicomSRValidator validator = new DicomSRValidator();
        for (String path : paths) {
            System.out.println("=== " + path);
            try {
                System.out.println(validator.validate(path));
            } catch (Exception | LinkageError unreadable) {
                System.out.println("Error: the validator cannot read this file: " + unreadable);
            }
        }
    }
}
